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

--short: sixteen completions a batch, random weights, two rounds; under three minutes on two cores.
--json: the result as one object on the standard output, the rest on the other one; its `ratios` are
TRL tuned over ours by case. --smoke: a tiny model, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from machine import machine_class, machine_name  # noqa: E402
from yardstick.cases import (  # noqa: E402
    CASES,
    DEFAULT,
    OURS,
    SHORT_CASES,
    SMOKE_CASES,
    TUNED,
    Case,
)
from yardstick.children import answer, ask  # noqa: E402
from yardstick.paired import clock_of, median_rates, phases, ratios  # noqa: E402
from yardstick.table import heading, table_of  # noqa: E402

STEPS = {"3M": (2, 5), "embedded": (2, 5), "SmolLM2-135M": (1, 2), "tiny": (1, 1)}
"""Steps to warm up and steps to measure, by model."""
SHORT_STEPS = (1, 3)
TRIED = (8, 16, 64)
"""Micro-batches that TRL tuned is tried with; the quickest is taken."""


class NotTheSame(Exception):
    """The gate found contenders that do not compute the same thing."""


def say(text: str) -> None:
    """Progress, on the standard error."""
    print(text, file=sys.stderr, flush=True)


def gate(case: Case, request: dict[str, Any]) -> dict[str, Any]:
    """Raises `NotTheSame`."""
    found = ask("gate", case, micro_batch=None, steps=1, **request)
    if found["failures"]:
        raise NotTheSame(f"{case.name}: " + "; ".join(found["failures"]))
    say(
        f"{case.name}: gate passed, gradient {found['gradient_difference']:.1e}, "
        f"first tokens p = {found['chi_square_p']:.2f}"
    )
    return found


def best_micro_batch(case: Case, args: argparse.Namespace, request: dict[str, Any]) -> int:
    """TRL's rows in one pass: the quickest of those that divide an update. In a short run the
    middle one."""
    share = case.shape.completions // case.shape.settings.get("updates_per_rollout", 1)
    sizes = sorted({min(size, share) for size in TRIED})
    if args.short or args.smoke or len(sizes) == 1:
        return min(16, share)
    seconds = {}
    for size in sizes:
        tried = ask(TUNED, case, warm_up=1, steps=2, micro_batch=size, **request)
        seconds[size] = tried["steps"][0]["phases"]["step"][clock_of(args.threads, args.device)]
        say(f"    {TUNED} with {size} rows in one pass: {seconds[size]:.2f} s")
    return min(seconds, key=lambda size: seconds[size])


def measure(
    case: Case, args: argparse.Namespace, source: str, passed: dict[str, Any] | None
) -> dict[str, Any]:
    """Gate (where it was not `passed` before), then the rounds, and what follows from them."""
    warm_up, count = SHORT_STEPS if args.short else STEPS[case.model]
    request = {
        "threads": args.threads,
        "source": source,
        "dtype": args.dtype,
        "device": args.device,
        "warm_up": warm_up,
    }
    passed = passed or gate(case, request)
    rows = {TUNED: best_micro_batch(case, args, request)}
    contenders = [OURS, TUNED, *([DEFAULT] if args.default else [])]
    rounds = []
    for number in range(args.rounds):
        turn = number % len(contenders)
        found = {}
        for name in contenders[turn:] + contenders[:turn]:
            steps = warm_up + count
            found[name] = ask(name, case, steps=steps, micro_batch=rows.get(name), **request)
            seconds = statistics.median(
                s["phases"]["step"][clock_of(args.threads, args.device)]
                for s in found[name]["steps"]
            )
            say(f"    {name}: {seconds:.2f} s a step, peak {found[name]['peak_mb']:.0f} MB")
        rounds.append(found)
    return summed_up(case, args, rounds, contenders) | {"gate": passed, "rounds": rounds}


def summed_up(
    case: Case, args: argparse.Namespace, rounds: list[dict[str, Any]], contenders: list[str]
) -> dict[str, Any]:
    """The figures of a case."""
    clock = clock_of(args.threads, args.device)
    settings = case.shape.settings
    # Old log-probabilities where there are several updates, a reference where there is a KL.
    passes = int(settings.get("updates_per_rollout", 1) > 1) + int(settings.get("beta", 0) > 0)
    rates = median_rates([child for r in rounds for child in r.values()])
    by_contender = {}
    for name in contenders:
        own = [r[name] for r in rounds]
        by_contender[name] = {
            "phases": phases(own, rates, clock, passes),
            "peak_mb": statistics.median(r["peak_mb"] for r in own),
            "loaded_mb": statistics.median(r["loaded_mb"] for r in own),
            "served": own[0]["served"],
        }
    return {
        "ratios": {name: ratios(rounds, name, clock) for name in contenders[1:]},
        "contenders": by_contender,
        "rates": rates,
    }


def chosen(args: argparse.Namespace) -> list[Case]:
    """The cases that are asked for."""
    cases = SMOKE_CASES if args.smoke else SHORT_CASES if args.short else CASES
    wanted = args.only or [""]
    return [case for case in cases if any(text in case.name for text in wanted)]


def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    """Case after case; those whose weights are missing are skipped, with the reason."""
    before = os.getloadavg()[0]
    found: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    gates: dict[tuple[str, str], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        for case in chosen(args):
            # The end token's probability is part of made-up weights.
            folder = Path(place) / f"{case.model}-{case.shape.ends}"
            smollm2 = str(args.smollm2.absolute()) if args.smollm2 else None
            made = ask("make", case, args.threads, folder=str(folder), smollm2=smollm2)
            if "missing" in made:
                skipped[case.name] = made["missing"]
                say(f"{case.name}: skipped, {made['missing']}")
                continue
            source = made["source"]
            # In a short run once for each model; else each shape has its own.
            passed = gates.get((source, case.way)) if args.short else None
            found[case.name] = measure(case, args, source, passed)
            gates[source, case.way] = found[case.name]["gate"]
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
    args.rounds = args.rounds or (1 if args.smoke else 2 if args.short else 3)
    if not args.child and not chosen(args):
        names = ", ".join(case.name for case in chosen(argparse.Namespace(**vars(args), only=None)))
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
    said = f"{heading(result)}\n\n{table_of(result)}"
    say(said) if args.json else print(said)
    if args.json:
        print(json.dumps(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
