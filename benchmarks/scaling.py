"""How time and memory grow: with the group, the prompt, the completion and the model in a training
step; with steps and completions in a record.

    python benchmarks/scaling.py [--short] [--only step record process] [--threads 1]
        [--json] [--out results/FILE.json]

Each thing grows while the others stay. The exponent is that of a power law through the points: 1
where a figure doubles with the size, 2 where it grows fourfold, 0 where it stays. A training step
is measured in a fresh process (3M random weights, 16 completions, P64 C64 where nothing else is
said; the quickest of three, CPU seconds). A record holds one made-up step again and again.
(of 15 tokens a completion), up to 10,000 steps and 1,000,000 completions. A process trains a tiny
model for 1,000 steps. --short: two points each.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Records are made as the tests make theirs.
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from machine import machine_class, machine_name  # noqa: E402
from yardstick import axes, records  # noqa: E402

PARTS = ("step", "record", "process")
BY_STEPS = [(100, 20), (1_000, 20), (10_000, 20)]
BY_COMPLETIONS = [(100, 20), (100, 100), (100, 500)]
FULL = (10_000, 100)
"""Steps and completions a step: a million completions."""


def step_tables(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A training step along each axis."""
    chosen = axes.SHORT_AXES if args.short else axes.AXES
    return [axes.measure(name, points, args.threads) for name, points in chosen.items()]


def record_tables(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A record by its steps and by the completions of each."""
    tables = []
    for name, sizes in (("steps", BY_STEPS), ("completions", BY_COMPLETIONS)):
        points = records.grown(sizes[:2] if args.short else sizes)
        tables.append(
            {
                "axis": f"{name} of a record",
                "points": points,
                "exponents": records.exponents(points, name),
            }
        )
    if not args.short:
        tables.append(
            {"axis": "a million completions", "points": records.grown([FULL]), "exponents": {}}
        )
    return tables


def process_tables(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What a long training leaves in memory."""
    return [axes.process(100 if args.short else 1_000, args.threads)]


def shown(table: dict[str, Any]) -> str:
    """A row for each point, and the exponents below."""
    columns = list(table["points"][0])
    rows = [f"**{table['axis']}**", "", "| | " + " | ".join(columns) + " |"]
    rows.append("|" + "---|" * (len(columns) + 1))
    rows += ["| | " + " | ".join(in_words(p[c]) for c in columns) + " |" for p in table["points"]]
    if table["exponents"]:
        found = [table["exponents"].get(c) for c in columns]
        rows.append(
            "| exponent | " + " | ".join("" if x is None else f"{x:.2f}" for x in found) + " |"
        )
    return "\n".join([*rows, ""])


def in_words(value: float | str) -> str:
    """Three figures of a number, a name as it is."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    args = arguments()
    makers = {"step": step_tables, "record": record_tables, "process": process_tables}
    tables = []
    for part in args.only:
        for table in makers[part](args):
            tables.append(table)
            print(shown(table), file=sys.stderr if args.json else sys.stdout, flush=True)
    result = {
        "date": date.today().isoformat(),
        "machine": machine_name(),
        "class": machine_class(),
        "threads": args.threads,
        "load": os.getloadavg()[0],
        "tables": tables,
    }
    if args.json:
        print(json.dumps(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
