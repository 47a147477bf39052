"""Does the embedded policy learn from its rewards alone? What an experiment's runs say, each beside
its control, in which the same rewards are dealt to the wrong completions.

    workbench compare --variant rewarded --controls shuffled --seeds 10 --problems 1000 \\
        --steps 60 --set eval_steps=20 --out runs/controls
    python benchmarks/controls.py runs/controls --out FILE.json --picture docs/controls.svg

A control is flat where no evaluation of it lies further than FLAT from the one before its first
step; a run has learned where one of its evaluations, of step 60 at most, is LEARNED or more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine_name

from workbench.assets.habits import completion
from workbench.experiment import Experiment, Result
from workbench.rewards import strict_correct
from workbench.runs import Run
from workbench.tasks import load_task
from workbench.widgets.plots.pieces import GREY, Look, lines, look, make_chart
from workbench.widgets.plots.still import draw_svg

FLAT = 0.05
LEARNED = 0.90
WITHIN = 60


def measured(result: Result) -> Iterator[dict[str, Any]]:
    """Each run: its held-out accuracy at each evaluation, by kind at the ends."""
    for row in result.rows:
        for outcome in row.outcomes:
            if outcome.value is None:
                raise SystemExit(f"{outcome.folder} is {outcome.status}: go on with --resume first")
            table = Run.open(outcome.folder).evaluations()
            yield {
                "seed": outcome.seed,
                "control": row.variant.control is not None,
                "steps": table.step.tolist(),
                "accuracy": table.accuracy.tolist(),
                "low": table.low.tolist(),
                "high": table.high.tolist(),
                "by_kind_before": table.extra.iloc[0]["by_kind"],
                "by_kind_after": table.extra.iloc[-1]["by_kind"],
                "seconds_per_step": outcome.seconds_per_step,
            }


def is_good(run: dict[str, Any]) -> bool:
    """Flat, where it is a control; learned, where it is not."""
    start = run["accuracy"][0]
    if run["control"]:
        return all(abs(accuracy - start) <= FLAT for accuracy in run["accuracy"])
    early = [a for step, a in zip(run["steps"], run["accuracy"], strict=True) if step <= WITHIN]
    return max(early) >= LEARNED


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of controls and of true runs: how many are as they should be, and between which values they
    moved and ended."""
    found: dict[str, Any] = {}
    for name, control in (("control", True), ("true", False)):
        own = [run for run in runs if run["control"] is control]
        moved = [accuracy - run["accuracy"][0] for run in own for accuracy in run["accuracy"][1:]]
        found[name] = {
            "runs": len(own),
            "as_asked": sum(map(is_good, own)),
            "moved": [min(moved, default=0.0), max(moved, default=0.0)],
            "last": [run["accuracy"][-1] for run in own],
        }
    return found


def floor() -> float:
    """The share of the held-out problems that are right under the wrong working, too."""
    problems = load_task("arithmetic", seed=0).held_out
    right = [strict_correct(completion(problem, "wrong"), problem.answer) for problem in problems]
    return sum(map(bool, right)) / len(right)


def picture(runs: list[dict[str, Any]]) -> str:
    """All runs and all controls in one chart, as SVG."""
    traces: list[dict[str, Any]] = []
    for run in runs:
        name = "control: rewards that say nothing" if run["control"] else "true rewards"
        style = Look(GREY, "dash", "square") if run["control"] else look(0)
        # One entry in the legend stands for all of them.
        first = not any(one["name"] == name for one in traces)
        x = np.array(run["steps"], dtype=float)
        y = np.array(run["accuracy"])
        traces += lines(x, y, name, style, legend=first)
    steps = np.array([0.0, WITHIN])
    least = np.full(2, floor())
    traces += lines(steps, least, "right under the wrong working, too", look(1), thin=True)
    seeds = len({run["seed"] for run in runs})
    chart = make_chart(
        "held-out accuracy",
        f"{seeds} seeds, each with its control",
        traces,
        x_range=(-1, WITHIN + 1),
        y={"tickformat": ".0%", "range": [0, 1]},
    )
    return draw_svg([chart], columns=1, height=320)


def main() -> None:
    """Read, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="What `workbench compare --out` wrote.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    result = Experiment.open(args.folder).result()
    runs = list(measured(result))
    facts = {
        "date": date.today().isoformat(),
        "machine": machine_name(),
        "threads": 1,
        "policy": result.rows[0].variant.policy,
        "problems": result.rows[0].outcomes[0].problems,
        "torch": torch.__version__,
        "asked": {"flat": FLAT, "learned": LEARNED, "within_steps": WITHIN},
        "said": result.sentences(),
        "floor": floor(),
        "summary": summary(runs),
        "runs": runs,
    }
    args.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(result)
    print(json.dumps(facts["summary"], indent=1))
    if args.picture:
        args.picture.write_text(picture(runs) + "\n")


if __name__ == "__main__":
    main()
