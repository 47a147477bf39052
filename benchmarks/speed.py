"""The yardstick: a step of ours beside TRL's, by shape, phase by phase, as one table.

    python benchmarks/speed.py [--short] [--only 3M/short SmolLM2] [--rounds 3] [--threads 1]
        [--default] [--device cpu] [--dtype float32] [--smollm2 FOLDER_OR_GGUF]
        [--json] [--out results/FILE.json]

Contenders: ours with its defaults, TRL tuned (nothing computed twice, our number format, the best
of three micro-batches), and with --default TRL as it comes. Each measurement is a process of its
own; in a round the contenders take turns, and the order is turned from round to round. A ratio is
paired: of two measurements of one round, in seconds for each sampled token (CPU seconds where one
thread is used), as a median with its range. First comes the gate: where contenders do not compute
the same thing there is no figure, and the exit status is 1.

--short: three shapes of few completions, random weights, two rounds; under three minutes on two
idle cores.
--json: the result as one object on the standard output, the rest on the other one; its `ratios` are
TRL tuned over ours by case. --smoke: a tiny model, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from machine import machine_class, machine_name  # noqa: E402
from yardstick.cases import CASES, SHORT_CASES, SMOKE_CASES, TUNED, Case  # noqa: E402
from yardstick.children import answer, ask  # noqa: E402
from yardstick.paired import clock_of, median_rates  # noqa: E402
from yardstick.rounds import NotTheSame, measure, say  # noqa: E402
from yardstick.table import heading, table_of  # noqa: E402

ROUNDS = {"smoke": 1, "short": 2, "whole": 3}
"""In each round every contender has its turn."""


def chosen(args: argparse.Namespace) -> list[Case]:
    """The cases that are asked for."""
    wanted = args.only or [""]
    return [case for case in offered(args) if any(text in case.name for text in wanted)]


def offered(args: argparse.Namespace) -> tuple[Case, ...]:
    """Those that could be asked for."""
    if args.smoke:
        return SMOKE_CASES
    return SHORT_CASES if args.short else CASES


def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    """Case after case; those whose weights are missing are skipped, with the reason."""
    before = os.getloadavg()[0]
    found: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    models: dict[Path, dict[str, Any]] = {}
    gates: dict[tuple[str, str], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        for case in chosen(args):
            # The end token's probability is part of made-up weights.
            folder = Path(place) / f"{case.model}-{case.shape.ends}"
            if folder not in models:
                smollm2 = str(args.smollm2.absolute()) if args.smollm2 else None
                more = {"folder": str(folder), "smollm2": smollm2}
                models[folder] = ask("make", case, args.threads, **more)
            made = models[folder]
            if "missing" in made:
                skipped[case.name] = made["missing"]
                say(f"{case.name}: skipped, {made['missing']}")
                continue
            source = made["source"]
            # In a short run once for each model; else each shape has its own.
            passed = gates.get((source, case.way)) if args.short else None
            found[case.name] = measure(case, args, source, passed)
            gates[source, case.way] = found[case.name]["gate"]
            # After each case: a whole table takes hours, and somebody may need the machine.
            keep(result_of(args, found, skipped, before), args.out)
    return result_of(args, found, skipped, before)


def result_of(
    args: argparse.Namespace, found: dict[str, Any], skipped: dict[str, str], before: float
) -> dict[str, Any]:
    """All that a reader of the figures has to know."""
    return {
        "date": date.today().isoformat(),
        "machine": gpu_of(found) or machine_name(),
        "device": args.device,
        "class": machine_class(),
        "threads": args.threads,
        "dtype": args.dtype,
        "clock": clock_of(args.threads, args.device),
        "rounds": args.rounds,
        "load": {"before": before, "after": os.getloadavg()[0]},
        "rates": median_rates(list(found.values())) if found else {},
        "versions": {n: version(n) for n in ("torch", "transformers", "trl")},
        "ratios": {name: case["ratios"][TUNED]["step"]["median"] for name, case in found.items()},
        "cases": found,
        "skipped": skipped,
    }


def keep(result: dict[str, Any], out: Path | None) -> None:
    """Write it where it was asked for."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")


def gpu_of(found: dict[str, Any]) -> str | None:
    """The name of the GPU that was used."""
    children = [child for case in found.values() for r in case["rounds"] for child in r.values()]
    return children[0]["gpu"] if children else None


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--only", nargs="*", help="parts of the cases' names")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--default", action="store_true", help="TRL as it comes, too")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rounds is None:
        args.rounds = ROUNDS["smoke" if args.smoke else "short" if args.short else "whole"]
    for name in ("rounds", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: at least 1 is needed.")
    if not args.child and not chosen(args):
        names = ", ".join(case.name for case in offered(args))
        parser.error(f"--only {' '.join(args.only)}: no such case. There are {names}.")
    return args


def main() -> None:
    """Measure, print, keep."""
    args = arguments()
    if args.child:
        print(json.dumps(answer(json.loads(args.child))))
        return
    try:
        result = measure_all(args)
    except NotTheSame as e:
        raise SystemExit(f"the gate is shut: {e}") from None
    if not result["cases"]:
        reasons = "; ".join(f"{name}: {why}" for name, why in result["skipped"].items())
        raise SystemExit(f"nothing was measured: {reasons}")
    said = f"{heading(result)}\n\n{table_of(result)}"
    say(said) if args.json else print(said)
    if args.json:
        print(json.dumps(result))
    keep(result, args.out)


if __name__ == "__main__":
    main()
