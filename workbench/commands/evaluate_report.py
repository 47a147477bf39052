"""What `workbench eval` has found, as one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.evaluation import Contamination, Estimate
    from workbench.evaluation.answered import Verdict
    from workbench.evaluation.sampled import HowToAnswer
    from workbench.runs import Answered

PLURALS = {"kind": "kinds", "subject": "subjects", "level": "levels"}


@dataclass(frozen=True)
class Evaluated:
    """One policy's answers."""

    policy: str
    """As it was named."""
    quantization: str
    task: str
    how: HowToAnswer
    answers: list[Answered]
    asked: dict[str, Any]
    """All that the answers depend on."""

    @cached_property
    def judged(self) -> dict[str, list[Verdict]]:
        """The verdicts of each judge."""
        from workbench.evaluation.recorded import judged_by_all

        return judged_by_all(self.answers)


@dataclass(frozen=True)
class Report:
    """What there is to say."""

    evaluated: Evaluated
    control: Evaluated | None
    contamination: Contamination | None
    """None where the training problems are not known."""
    kept: Path | None
    """The file of the completions."""


def report_dict(report: Report) -> dict[str, Any]:
    """The greedy strict figure under the names that it had when it was alone, then all of them."""
    from workbench.evaluation.answered import GROUPINGS, counts, grouped, labelled, summarize
    from workbench.rewards.functions import UNDECIDED

    found = report.evaluated
    strict = found.judged["strict"]
    figures = _as_dicts(summarize(strict))
    correct, n = counts(strict)
    by_kind = dict(sorted(grouped(strict, "kind").items()))
    result = {
        "policy": found.policy,
        "task": found.task,
        "dtype": found.asked.get("dtype"),
        "quantization": found.asked.get("quantization"),
        "max_completion_length": found.how.max_completion_length,
        "samples": found.how.samples,
        "temperature": found.how.temperature,
        "seed": found.how.seed,
        "answers": None if report.kept is None else str(report.kept),
        "n": n,
        "correct": correct,
        "accuracy": figures["greedy"]["value"],
        "interval": figures["greedy"]["interval"],
        "by_kind": {kind: counts(of_kind) for kind, of_kind in by_kind.items()},
        UNDECIDED: len(found.answers) - n,
        **figures,
        "lenient": _as_dicts(summarize(found.judged["lenient"])),
    }
    for grouping in GROUPINGS:
        lenient = labelled(found.judged["lenient"], grouping)
        result[PLURALS[grouping]] = {
            label: _as_dicts(summarize(of_label))
            | {"lenient": _as_dicts(summarize(lenient.get(label, [])))}
            for label, of_label in labelled(strict, grouping).items()
        }
    if report.contamination is not None:
        result["contamination"] = report.contamination.as_dict()
    if report.control is not None:
        result["control"] = _control_dict(found, report.control)
    return result


def _control_dict(found: Evaluated, control: Evaluated) -> dict[str, Any]:
    """The control's figures, and what the policy has more than it."""
    from workbench.evaluation import paired_differences
    from workbench.evaluation.answered import summarize

    result: dict[str, Any] = {"policy": control.policy}
    result |= _as_dicts(summarize(control.judged["strict"]))
    result["lenient"] = _as_dicts(summarize(control.judged["lenient"]))
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
