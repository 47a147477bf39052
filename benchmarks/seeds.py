"""The default run over several seeds, and the control with shuffled rewards: accuracy before and
after, seconds.

    python benchmarks/seeds.py [--seeds 5] [--control 2] [--out FILE.json]

Every run is `workbench train --json --seed N` in a process of its own, one after another.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path


def run(seed: int, *options: str) -> dict:
    """The last line of one training."""
    with tempfile.TemporaryDirectory() as place:
        command = [
            sys.executable,
            "-m",
            "workbench",
            "train",
            "--json",
            "--seed",
            str(seed),
            "--out",
            f"{place}/r",
            *options,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result = json.loads(done.stdout.strip().splitlines()[-1]) | {
        "seed": seed,
        "load": os.getloadavg()[0],
    }
    print(
        f"seed {seed} {' '.join(options)}: {result['accuracy_before']:.1%} -> "
        f"{result['accuracy_after']:.1%} in {result['seconds']:.0f} s, load {result['load']:.1f}",
        flush=True,
    )
    return result


def main() -> None:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--control", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs = [run(seed) for seed in range(args.seeds)]
    control = [run(seed, "--shuffle-rewards") for seed in range(args.control)]
    after = [r["accuracy_after"] for r in runs]
    spread = statistics.stdev(after) if len(after) > 1 else 0.0
    print(
        f"after: mean {statistics.mean(after):.1%}, standard deviation over seeds {spread:.1%}, "
        f"lowest {min(after):.1%}"
    )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            json.dumps(
                {"date": date.today().isoformat(), "runs": runs, "control": control}, indent=1
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
