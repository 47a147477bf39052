"""An experiment's result as plain values: what `workbench compare --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.experiment.outcomes import Row
from workbench.experiment.words import number
from workbench.rewards.controls import CONTROLS

if TYPE_CHECKING:
    from workbench.experiment.result import Difference, Result


def result_dict(result: Result) -> dict[str, Any]:
    """All of a result; what is not known is null."""
    return {
        "folder": str(result.out),
        "metric": result.plan.metric,
        "interval": result.plan.interval,
        "level": result.plan.level,
        "seeds": list(result.plan.seeds),
        "whole": result.is_whole,
        "rows": [_row_dict(row) for row in result.rows],
        "differences": [_difference_dict(d) for d in result.differences],
        "against_controls": [_difference_dict(d) for d in result.against_controls],
        "control_band": [number(end) for end in result.control_band],
        "sentences": result.sentences(),
    }


def _row_dict(row: Row) -> dict[str, Any]:
    control = row.variant.control
    return {
        "name": row.name,
        "control": control,
        "words": CONTROLS[control].words if control else "",
        "policy": row.variant.policy,
        "mean": number(row.mean.value),
        "interval": [number(row.mean.low), number(row.mean.high)],
        "gain": number(row.gain.value),
        "runs": [
            {
                "seed": o.seed,
                "folder": o.folder.name,
                "status": o.status,
                "value": o.value,
                "steps": list(o.steps),
                "curve": [number(value) for value in o.curve],
                "problems": o.problems,
            }
            for o in row.outcomes
        ],
    }


def _difference_dict(found: Difference) -> dict[str, Any]:
    return {
        "of": found.of,
        "than": found.than,
        "value": number(found.interval.value),
        "interval": [number(found.interval.low), number(found.interval.high)],
        "level": found.level,
        "seeds": found.interval.n,
        "verdict": found.verdict,
        "seeds_needed": found.needed,
    }
