"""What a training sharpens and what it adds: the default run of the embedded policy over several
seeds, with 8 answers to each of 200 held-out problems before the first step and after the last.

    python benchmarks/sharpening.py [--seeds 3] [--samples 8] [--problems 200] [--out FILE.json]

Every run is `workbench train --eval-samples K --seed N` in a process of its own, one after another;
the figures are those of its record. Strict counts the format that the prompt asks for, lenient the
likeliest answer in the text: what both have gained is no gain of format.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from machine import machine_name

from workbench.evaluation import gain_of_run
from workbench.runs import Run

JUDGES = ("strict", "lenient")


def trained(folder: Path, seed: int, samples: int, problems: int) -> Run:
    """The run of one seed."""
    command = [
        sys.executable,
        "-m",
        "workbench",
        "train",
        "--json",
        "--seed",
        str(seed),
        "--eval-samples",
        str(samples),
        "--set",
        f"eval_samples_problems={problems}",
        "--out",
        str(folder),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Run.open(folder)


def figures_of(run: Run) -> dict[str, Any]:
    """By judge: each figure before and after with its interval, and where the gain lies."""
    frame = run.sampled_evaluations()
    frame = frame[frame["grouping"] == "all"]
    found: dict[str, Any] = {}
    for judge in JUDGES:
        of_judge = frame[frame["judge"] == judge]
        found[judge] = {"gain": asdict(gain_of_run(run, judge))}
        for when, step in (("before", 0), ("after", run.last_step())):
            rows = of_judge[of_judge["step"] == step]
            found[judge][when] = {
                row.figure: {"value": row.value, "interval": [row.low, row.high], "n": row.n}
                for row in rows.itertuples()
            }
    return found


def measured(seed: int, samples: int, problems: int) -> dict[str, Any]:
    """One run, with what it took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        run = trained(Path(place, "run"), seed, samples, problems)
        found = figures_of(run)
        steps = run.last_step()
        said = str(gain_of_run(run, "lenient"))
    print(f"seed {seed}, lenient: {said}", flush=True)
    return {
        "seed": seed,
        "steps": steps,
        **found,
        "seconds": time.monotonic() - began,
        "load": os.getloadavg()[0],
    }


def mean_of(runs: list[dict[str, Any]], judge: str, when: str, figure: str) -> float:
    """Over the seeds."""
    return sum(run[judge][when][figure]["value"] for run in runs) / len(runs)


def main() -> None:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs = [measured(seed, args.samples, args.problems) for seed in range(args.seeds)]
    names = ["greedy", f"mean@{args.samples}", f"maj@{args.samples}", f"pass@{args.samples}"]
    means = {
        judge: {
            name: [mean_of(runs, judge, when, name) for when in ("before", "after")]
            for name in names
        }
        for judge in JUDGES
    }
    for judge, figures in means.items():
        for name, (before, after) in figures.items():
            print(f"{judge:8} {name:8} {before:.1%} -> {after:.1%}")
    result = {
        "date": date.today().isoformat(),
        "means": means,
        "runs": runs,
        "machine": machine_name(),
        "device": "cpu",
        "threads": 1,
    }
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
