"""One case: the gate, then rounds in which the contenders take turns."""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from yardstick.cases import DEFAULT, OURS, TUNED, Case
from yardstick.children import ask
from yardstick.paired import clock_of, median_rates, phases, ratios

STEPS = {"3M": (2, 5), "embedded": (2, 5), "SmolLM2-135M": (1, 2), "tiny": (1, 1)}
"""Steps to warm up and steps to measure, by model."""
SHORT_STEPS = (1, 2)
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
        tried = ask(TUNED, case, **request | {"warm_up": 1, "steps": 2, "micro_batch": size})
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
