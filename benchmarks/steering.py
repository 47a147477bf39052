"""What dragging epsilon and beta does within ten steps of the preset "steering", over seeds.

    python benchmarks/steering.py [--seeds 3] [--out FILE.json]

For each seed the run is made once with nothing moved, and once for each knob with it moved before
step `DRAGGED`, the same to the last bit until there. Differences are paired: moved less left alone,
mean of the steps from the move on, by figure; their interval is Student's t over the seeds. A last
run of each seed goes on to `LEARN` steps and says whether the preset still learns.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch
from machine import machine_name

from workbench.config import GRPOConfig
from workbench.experiment.statistics import mean_interval
from workbench.policy import load_policy
from workbench.runs import Run
from workbench.tasks import load_task
from workbench.training import start_run

DRAGGED, STEPS, LEARN = 3, 12, 40
LOOKED_AT = (1, 3, 10)
MOVES: dict[str, dict[str, float]] = {
    "nothing": {},
    "epsilon .05 -> .2": {"epsilon": 0.2},
    "beta .02 -> 1": {"beta": 1.0},
}
FIGURES = ("clip_ratio_region", "kl", "kl_gradient_share", "reward", "entropy")


def steps_of(seed: int, moved: dict[str, float]) -> list[dict[str, float]]:
    """The figures of each step of one run."""
    config = GRPOConfig.preset("steering", seed=seed, max_steps=STEPS, eval_steps=0)
    config = config.replace(num_eval_problems=8)
    with tempfile.TemporaryDirectory() as place:
        trainer = start_run(
            Path(place, "run"),
            policy=load_policy("embedded", config=config, device="cpu"),
            task=load_task("arithmetic", seed=seed),
            config=config,
        )
        rows = []
        for step in range(1, STEPS + 1):
            if step == DRAGGED and moved:
                trainer.knobs.set(**moved)
            metrics = trainer.step().metrics
            rows.append({name: metrics[name] for name in FIGURES})
    return rows


def learned(seed: int) -> dict[str, list[float]]:
    """Held-out accuracy of a run with nothing moved."""
    config = GRPOConfig.preset(
        "steering", seed=seed, max_steps=LEARN, eval_steps=10, num_eval_problems=300
    )
    with tempfile.TemporaryDirectory() as place:
        trainer = start_run(
            Path(place, "run"),
            policy=load_policy("embedded", config=config, device="cpu"),
            task=load_task("arithmetic", seed=seed),
            config=config,
        )
        trainer.train()
        table = Run.open(Path(place, "run")).evaluations()
    return {"steps": table.step.tolist(), "accuracy": table.accuracy.tolist()}


def after_the_move(rows: list[dict[str, float]], figure: str, steps: int) -> float:
    """Mean over so many steps from the move on."""
    first = DRAGGED - 1
    return statistics.mean(row[figure] for row in rows[first : first + steps])


def with_interval(values: list[float]) -> dict[str, Any]:
    """Mean and 95 % interval over the seeds, by Student's t."""
    found = mean_interval(values)
    known = len(values) > 1
    interval = [found.low, found.high] if known else None
    return {"mean": found.value, "interval": interval, "seeds": len(values)}


def effect(
    own: list[list[dict[str, float]]], left: list[list[dict[str, float]]], figure: str, steps: int
) -> dict[str, Any]:
    """What a move does to a figure over so many steps: the difference, and the factor."""
    after = [after_the_move(rows, figure, steps) for rows in own]
    alone = [after_the_move(rows, figure, steps) for rows in left]
    pairs = list(zip(after, alone, strict=True))
    found: dict[str, Any] = {
        "moved": statistics.mean(after),
        "left_alone": statistics.mean(alone),
        "difference": with_interval([a - b for a, b in pairs]),
    }
    # Of logarithms, so that a half and a double are as far from nothing.
    if all(a > 0 and b > 0 for a, b in pairs):
        factor = with_interval([math.log(a / b) for a, b in pairs])
        ends = factor["interval"] or []
        found["factor"] = {
            "mean": math.exp(factor["mean"]),
            "interval": [math.exp(end) for end in ends] or None,
        }
    return found


def effects(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each move, by figure and by the number of steps looked at."""
    by_seed = {(run["seed"], run["move"]): run["steps"] for run in runs}
    seeds = sorted({run["seed"] for run in runs})
    left = [by_seed[seed, "nothing"] for seed in seeds]
    found: dict[str, Any] = {}
    for move in [name for name, moved in MOVES.items() if moved]:
        own = [by_seed[seed, move] for seed in seeds]
        found[move] = {
            figure: {f"{steps} steps": effect(own, left, figure, steps) for steps in LOOKED_AT}
            for figure in FIGURES
        }
    return found


def main() -> None:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = []
    for seed in range(args.seeds):
        for move, moved in MOVES.items():
            steps = steps_of(seed, moved)
            runs.append({"seed": seed, "move": move, "steps": steps})
            for figure in ("clip_ratio_region", "kl", "kl_gradient_share"):
                line = " ".join(f"{row[figure]:.3f}" for row in steps)
                print(f"seed {seed} {move:18} {figure:18} {line}", flush=True)
    learning = [{"seed": seed} | learned(seed) for seed in range(args.seeds)]
    for run in learning:
        print(f"seed {run['seed']} learns: {run['accuracy']}", flush=True)
    facts = {
        "date": date.today().isoformat(),
        "machine": machine_name(),
        "load": os.getloadavg()[0],
        "threads": 1,
        "torch": torch.__version__,
        "dragged_before_step": DRAGGED,
        "effects": effects(runs),
        "learning": learning,
        "runs": runs,
    }
    print(json.dumps(facts["effects"], indent=1))
    if args.out:
        args.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
