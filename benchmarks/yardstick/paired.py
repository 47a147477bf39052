"""Medians of a contender, and ratios of what was measured side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from yardstick.cases import OURS
from yardstick.limits import Size, limits, needed_tokens
from yardstick.meter import STEP

Measured = dict[str, Any]
"""What a child process has said of its contender."""


def clock_of(threads: int, device: str) -> str:
    """CPU seconds leave out what other programs take; with several threads, and beside a GPU,
    they would count waiting as work."""
    return "cpu" if threads == 1 and device == "cpu" else "wall"


def per_token(measured: Measured, phase: str, clock: str) -> float:
    """Seconds for each sampled token, the median over the measured steps: lengths are drawn, and
    who drew longer answers shall not look slower."""
    return statistics.median(
        step["phases"][phase][clock] / sum(step["lengths"]) for step in measured["steps"]
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(rounds: Sequence[dict[str, Measured]], other: str, clock: str) -> dict[str, Any]:
    """`other` / ours, each ratio of two that were measured in one round: the step, the two large
    phases, and the peak of memory."""
    pairs = [(r[other], r[OURS]) for r in rounds if other in r]
    found: dict[str, Any] = {
        phase: spread([per_token(a, phase, clock) / per_token(b, phase, clock) for a, b in pairs])
        for phase in (STEP, "rollout", "update")
    }
    found["peak"] = spread([a["peak_mb"] / b["peak_mb"] for a, b in pairs])
    return found


def median_rates(measured: Sequence[Measured]) -> dict[str, float]:
    """The machine's rates over several processes."""
    return {
        name: statistics.median(m["rates"][name] for m in measured)
        for name in ("flops", "bandwidth")
    }


def phases(
    rounds: Sequence[Measured], rates: dict[str, float], clock: str, logprob_passes: int
) -> dict[str, Any]:
    """By phase: seconds of both clocks, useful tokens a second, what part of the limit was reached,
    and how many tokens were computed for each that is needed."""
    return {
        phase: phase_of(rounds, phase, rates, clock, logprob_passes)
        for phase in rounds[0]["steps"][0]["phases"]
        # Entered, and nothing to do.
        if phase != "logprobs" or logprob_passes
    }


def phase_of(
    rounds: Sequence[Measured],
    phase: str,
    rates: dict[str, float],
    clock: str,
    logprob_passes: int,
) -> dict[str, float | None]:
    """Medians over all measured steps of one phase."""
    size = Size(**rounds[0]["size"])
    steps = [step for r in rounds for step in r["steps"] if phase in step["phases"]]
    spent = [step["phases"][phase] for step in steps]
    shares = []
    for step in steps:
        limit = limits(size, step["prompts"], step["lengths"], rates, logprob_passes)
        shares.append(share_of_limit(limit, step, phase, clock))
    return {
        "cpu": statistics.median(s["cpu"] for s in spent),
        "wall": statistics.median(s["wall"] for s in spent),
        "tokens_per_second": statistics.median(
            sum(step["lengths"]) / step["phases"][phase][clock] for step in steps
        ),
        "share_of_limit": middle(shares),
        "waste": middle([waste(step, phase, logprob_passes) for step in steps]),
    }


def middle(values: Sequence[float | None]) -> float | None:
    """The median where there are values."""
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def share_of_limit(limit: dict[str, float], step: Measured, phase: str, clock: str) -> float | None:
    """The limit over the seconds taken; a whole step's limit is the sum of its phases'."""
    seconds = sum(limit.values()) if phase == STEP else limit.get(phase)
    return None if seconds is None else seconds / step["phases"][phase][clock]


def waste(step: Measured, phase: str, logprob_passes: int) -> float | None:
    """Tokens computed over tokens needed; None where nothing passed the model's layers, as in a
    phase without a model."""
    passes = {"rollout": 1, "update": 1, "logprobs": logprob_passes}.get(phase, 0)
    computed = step["phases"][phase]["tokens"]
    if not passes or not computed:
        return None
    needed: float = passes * needed_tokens(step["prompts"], step["lengths"], phase)
    return float(computed / needed)
