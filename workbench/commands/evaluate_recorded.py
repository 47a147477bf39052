"""The evaluations with samples that a training leaves in its record, in a few figures."""

from __future__ import annotations

import math
from typing import Any

from workbench.runs import Run


def sampled_summary(run: Run) -> dict[str, Any]:
    """By judge the figures over all problems at the first and at the last of them, and in words
    where the gain lies; without words where there is one alone."""
    from workbench.evaluation.recorded import HELD_OUT, gain_of_run

    frame = run.sampled_evaluations()
    frame = frame[(frame["grouping"] == "all") & (frame["split"] == HELD_OUT)]
    steps = sorted({int(step) for step in frame["step"]})
    found: dict[str, Any] = {"steps": [steps[0], steps[-1]]}
    for judge, of_judge in frame.groupby("judge", sort=False):
        figures = of_judge.set_index(["step", "figure"])["value"]
        found[str(judge)] = {
            name: [_in_json(figures[step, name]) for step in found["steps"]]
            for name in of_judge["figure"].unique()
        }
        if len(steps) > 1:
            found[str(judge)]["gain"] = str(gain_of_run(run, str(judge)))
    return found


def _in_json(value: float) -> float | None:
    """JSON has no NaN, which a figure of no problem is."""
    return None if math.isnan(value) else float(value)
