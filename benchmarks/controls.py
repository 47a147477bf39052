"""Does the embedded policy learn from its rewards alone? The default run over several seeds, each
beside its control, in which the same rewards are dealt to the wrong completions.

    python benchmarks/controls.py [--seeds 10] [--first 0] [--problems 500] --out FILE.json
    python benchmarks/controls.py --seeds 0 --out FILE.json --picture docs/controls.svg

A control is flat where no evaluation of it lies further than FLAT from the one before its first
step; a run has learned where one of its evaluations, of step 60 at most, is LEARNED or more. Runs
that FILE.json holds already are not made again, so that what was broken off can go on.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine_name

from workbench.assets.habits import completion
from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet, shuffled, strict_correct
from workbench.runs import Run
from workbench.tasks import load_task
from workbench.training import start_run
from workbench.widgets.plots.pieces import GREY, Look, lines, look, make_chart
from workbench.widgets.plots.still import draw_svg

FLAT = 0.05
LEARNED = 0.90
WITHIN = 60


def measured(policy: str, seed: int, control: bool, problems: int) -> dict[str, Any]:
    """One run: its held-out accuracy at each evaluation, by kind at the ends."""
    config = GRPOConfig(seed=seed, max_steps=WITHIN, eval_steps=20, num_eval_problems=problems)
    rewards = RewardSet(["format", "answer"])
    began = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        trainer = start_run(
            Path(place, "run"),
            policy=load_policy(policy, config=config, device="cpu"),
            task=load_task("arithmetic", seed=seed),
            rewards=shuffled(rewards, seed) if control else rewards,
            config=config,
        )
        trainer.train()
        table = Run.open(Path(place, "run")).evaluations()
    return {
        "seed": seed,
        "control": control,
        "steps": table.step.tolist(),
        "accuracy": table.accuracy.tolist(),
        "low": table.low.tolist(),
        "high": table.high.tolist(),
        "by_kind_before": table.extra.iloc[0]["by_kind"],
        "by_kind_after": table.extra.iloc[-1]["by_kind"],
        "cpu_seconds": round(time.process_time() - began, 1),
        "load": os.getloadavg()[0],
    }


def is_good(run: dict[str, Any]) -> bool:
    """Flat, where it is a control; learned, where it is not."""
    start = run["accuracy"][0]
    if run["control"]:
        return all(abs(accuracy - start) <= FLAT for accuracy in run["accuracy"])
    return max(run["accuracy"]) >= LEARNED


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
    """Run, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = json.loads(args.out.read_text())["runs"] if args.out.exists() else []
    for seed in range(args.first, args.first + args.seeds):
        for control in (True, False):
            if any((run["seed"], run["control"]) == (seed, control) for run in runs):
                continue
            run = measured(args.policy, seed, control, args.problems)
            runs.append(run)
            path = " ".join(f"{accuracy:.1%}" for accuracy in run["accuracy"])
            print(f"seed {seed} {'control' if control else 'true'}: {path}", flush=True)
            facts = {
                "date": date.today().isoformat(),
                "machine": machine_name(),
                "threads": 1,
                "policy": args.policy,
                "problems": args.problems,
                "torch": torch.__version__,
                "asked": {"flat": FLAT, "learned": LEARNED, "within_steps": WITHIN},
                "summary": summary(runs),
                "runs": runs,
            }
            args.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(summary(runs) | {"floor": floor()}, indent=1))
    if args.picture:
        args.picture.write_text(picture(runs) + "\n")


if __name__ == "__main__":
    main()
