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

from workbench.bench.methods import T_95
from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.runs import Run
from workbench.tasks import load_task
from workbench.training import start_run

DRAGGED, STEPS, LEARN = 3, 12, 40
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


def after_the_move(rows: list[dict[str, float]], figure: str) -> float:
    """Mean over the steps from the move on."""
    return statistics.mean(row[figure] for row in rows[DRAGGED - 1 :])


def with_interval(values: list[float]) -> dict[str, Any]:
    """Mean and 95 % interval over the seeds, by Student's t."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return {"mean": mean, "interval": None, "seeds": len(values)}
    half = T_95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "interval": [mean - half, mean + half], "seeds": len(values)}


def effects(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each move: what it does to each figure; in absolute terms, and as a factor."""
    found: dict[str, Any] = {}
    by_seed = {(run["seed"], run["move"]): run["steps"] for run in runs}
    seeds = sorted({run["seed"] for run in runs})
    for move in MOVES:
        own = [by_seed[seed, move] for seed in seeds]
        left = [by_seed[seed, "nothing"] for seed in seeds]
        found[move] = {}
        for figure in FIGURES:
            after = [after_the_move(rows, figure) for rows in own]
            alone = [after_the_move(rows, figure) for rows in left]
            pairs = list(zip(after, alone, strict=True))
            found[move][figure] = {"level": with_interval(after)}
            if move != "nothing":
                found[move][figure]["difference"] = with_interval([a - b for a, b in pairs])
                # Of logarithms, so that a half and a double are as far from nothing.
                logs = [math.log(a / b) for a, b in pairs if a > 0 and b > 0]
                if len(logs) == len(pairs):
                    found[move][figure]["log_ratio"] = with_interval(logs)
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
