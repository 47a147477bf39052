"""What `workbench eval` has found, as one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.commands.evaluate_run import OfRun
    from workbench.evaluation import Contamination, Estimate, EvaluationResult


@dataclass(frozen=True)
class Report:
    """What there is to say."""

    evaluated: EvaluationResult
    control: EvaluationResult | None
    contamination: Contamination | None
    """None where the training problems are not known."""
    kept: Path | None
    """The file of the completions."""
    of_run: OfRun | None = None
    """What of a run was evaluated; None where no run was named."""


def report_dict(report: Report) -> dict[str, Any]:
    """The result, with what stands beside it."""
    found = report.evaluated
    result = found.to_dict() | {"answers": None if report.kept is None else str(report.kept)}
    if report.of_run is not None:
        result["of_run"] = report.of_run.as_dict()
    if report.contamination is not None:
        result["contamination"] = report.contamination.as_dict()
    if report.control is not None:
        result["control"] = _control_dict(found, report.control)
    return result


def _control_dict(found: EvaluationResult, control: EvaluationResult) -> dict[str, Any]:
    """The control's figures, and what the policy has more than it."""
    from workbench.evaluation import paired_differences

    result: dict[str, Any] = {"policy": control.policy}
    result |= _as_dicts(control.figures())
    result["lenient"] = _as_dicts(control.figures("lenient"))
    result["difference"] = {
        judge: {
            name: one.as_dict()
            for name, one in paired_differences(judged, control.judged[judge]).items()
        }
        for judge, judged in found.judged.items()
    }
    return result


def _as_dicts(figures: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.as_dict() for name, estimate in figures.items()}
