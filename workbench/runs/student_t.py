"""Student's t: how far the mean of a few values may lie from the truth."""

from __future__ import annotations

import functools
import math

NORMAL_FROM = 2_000
"""Degrees of freedom from which on t is the normal distribution to four digits."""


def t_coverage(t: float, df: int) -> float:
    """P(|T| < t) of Student's t with `df` degrees of freedom: the finite sums of Abramowitz and
    Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(df))
    cosine = math.cos(angle)
    first = 2 + df % 2
    term = cosine if df % 2 else 1.0
    total = 0.0
    for step in range(first, df + 1, 2):
        total += term
        term *= cosine * cosine * (step - 1) / step
    within = math.sin(angle) * total
    return (angle + within) * 2 / math.pi if df % 2 else within


@functools.cache
def t_quantile(level: float, df: int) -> float:
    """The t with P(|T| < t) = `level`, to twelve digits."""
    df = min(df, NORMAL_FROM)
    low, high = 0.0, 1.0
    while t_coverage(high, df) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if t_coverage(middle, df) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2
