"""What the dashboard costs a training: CPU seconds a step with and without it, in turns, on the
default run.

    python benchmarks/dashboard_overhead.py [--blocks 6] [--steps 5] [--out FILE.json]

One session makes blocks of steps; every other block has a Dashboard listening and drawing (Overview
open). CPU time of the whole process is taken, so that other work on the machine counts less. No
browser is attached: what a page costs is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

import torch


def block(session, steps: int) -> float:
    """CPU seconds a step."""
    start = time.process_time()
    session.step(steps).wait()
    return (time.process_time() - start) / steps


def main() -> None:
    """Measure in turns, print the medians."""
    from workbench import Dashboard, GRPOConfig, Session

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = GRPOConfig(
        max_steps=2 * args.blocks * args.steps + 2,
        eval_steps=0,
        num_eval_problems=1,
        save_steps=10_000,
    )
    session = Session("embedded", "arithmetic", config=config, out=tempfile.mkdtemp() + "/run")
    session.step(2).wait()
    plain, watched, redraws = [], [], []
    for _ in range(args.blocks):
        plain.append(block(session, args.steps))
        dashboard = Dashboard(session)
        draw = dashboard.redraw

        def timed(force: bool = False, draw=draw) -> None:
            start = time.perf_counter()
            draw(force)
            redraws.append(time.perf_counter() - start)

        dashboard.publisher._draw = timed
        watched.append(block(session, args.steps))
        dashboard.close()
    share = sum(redraws) / (args.blocks * args.steps * statistics.median(watched))
    print(
        f"CPU seconds a step: {statistics.median(plain):.3f} without, "
        f"{statistics.median(watched):.3f} with the dashboard; {len(redraws)} redraws, median "
        f"{1000 * statistics.median(redraws):.1f} ms, together {share:.1%} of the steps' time; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    if args.out:
        args.out.write_text(
            json.dumps(
                {
                    "date": date.today().isoformat(),
                    "plain": plain,
                    "watched": watched,
                    "redraws": redraws,
                }
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
