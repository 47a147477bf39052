"""What a few runs can say: intervals of a mean, and how many more runs would be needed.

Student's t over the seeds is what is used unless somebody asks for the bootstrap: it is exact for
normal values at any number of seeds, while the bootstrap's percentile interval is too narrow below
some twenty (Colas, Sigaud and Oudeyer 2018, "How Many Random Seeds?", arXiv 1806.08295, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.runs.student_t import t_quantile

INTERVALS = {
    "t": "Student's t over the seeds",
    "bootstrap": "a percentile bootstrap over the seeds (too narrow below some twenty of them)",
}
"""How an interval is made -> in words."""
DRAWS = 10_000
"""Resamples of a bootstrap; drawn with a fixed seed, so that the same runs give the same words."""
POWER = 0.8
"""With which probability the seeds that are called needed would show the difference."""
MOST_SEEDS = 10_000
"""Where the search for the needed number ends."""


Share = tuple[float, float, float]
"""A share and the ends of its interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds."""

    value: float

    low: float
    high: float
    """Its interval; NaN from one value, which says nothing of the others."""

    n: int
    """Values."""

    spread: float
    """Their standard deviation; NaN from one."""


def mean_interval(
    values: Sequence[float], level: float = 0.95, how: str = "t", resolution: float = 0.0
) -> Interval:
    """The mean of independent `values` and its interval. `resolution`: the step in which values are
    measured (1 / problems for an accuracy). Values that all agree are rounded, not certain, so the
    spread is taken to be at least that of the rounding of a difference of two, however the interval
    is made."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, math.nan)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1, math.nan)
    spread = _spread(values, resolution)
    per_spread = t_quantile(level, n - 1) / math.sqrt(n)
    half = per_spread * spread
    low = mean - half
    high = mean + half
    if how == "bootstrap":
        drawn = np.random.default_rng(0).choice(np.asarray(values, float), (DRAWS, n)).mean(axis=1)
        tail = (1 - level) / 2
        low, high = (float(end) for end in np.quantile(drawn, (tail, 1 - tail)))
        rounding = per_spread * _spread_of_rounding(resolution)
        low = min(low, mean - rounding)
        high = max(high, mean + rounding)
    return Interval(mean, low, high, n, spread)


def _spread(values: Sequence[float], resolution: float) -> float:
    return max(float(np.std(values, ddof=1)), _spread_of_rounding(resolution))


def _spread_of_rounding(resolution: float) -> float:
    # Two roundings, each uniform over one step: 2 / 12 of its square.
    return resolution / math.sqrt(6)


def next_value(
    values: Sequence[float], level: float = 0.95, resolution: float = 0.0
) -> tuple[float, float]:
    """Where one more value would lie with probability `level`: the prediction interval of normal
    values, `resolution` as in `mean_interval`. NaN from fewer than two."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    mean = float(np.mean(values))
    half = t_quantile(level, n - 1) * _spread(values, resolution) * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def seeds_needed(
    difference: float, spread: float, level: float = 0.95, power: float = POWER
) -> int | None:
    """The fewest seeds whose paired t interval would leave 0 out with probability `power`, were
    `difference` the true mean and `spread` the true standard deviation of the paired differences;
    None where more than `MOST_SEEDS` would be needed. Colas et al. (as above), section 4: n >= (t
    of the level + t of the power)^2 spread^2 / difference^2."""
    if not (math.isfinite(difference) and math.isfinite(spread)) or difference == 0:
        return None
    ratio = (spread / difference) ** 2

    def is_enough(n: int) -> bool:
        both = t_quantile(level, n - 1) + t_quantile(2 * power - 1, n - 1)
        return both * both * ratio <= n

    high = 2
    while not is_enough(high):
        high *= 2
        if high > 2 * MOST_SEEDS:
            return None
    # More seeds never need still more of them: the first that is enough is found by halving.
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    needed = high if not is_enough(max(low, 2)) else max(low, 2)
    return needed if needed <= MOST_SEEDS else None


def difference_of_shares(first: Share, second: Share) -> tuple[float, float, float]:
    """`first` minus `second` with its interval (difference, low, high), each share given with its
    own Wilson interval: Newcombe 1998 (Statistics in Medicine 17, 873), method 10. As if the two
    were of different problems: of the same ones it is rather too wide."""
    p, p_low, p_high = first
    q, q_low, q_high = second
    difference = p - q
    below = math.hypot(p - p_low, q_high - q)
    above = math.hypot(p_high - p, q - q_low)
    return difference, difference - below, difference + above
