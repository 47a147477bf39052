"""How far a figure may come out elsewhere when nothing but the sampling seed is another.

The runs that differ by their seed alone are a sample; the band is the interval in which one more
such run would lie with 95 % probability (the prediction interval of a normal sample: mean ± t x s x
sqrt(1 + 1/n)). The range of the runs would be too narrow: with four of them, two of five further
ones would lie outside by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.runs.student_t import t_quantile

FEWEST_SEEDS = 3
"""Other seeds beside the run's own: with fewer, the interval is too wide to tell anything."""


@dataclass(frozen=True)
class Band:
    """Where a run would lie that differs by its sampling seed alone, with 95 % probability."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether chance alone would do as much. What is not finite lies outside."""
        return self.low <= value <= self.high


def band_of(values: Sequence[float], resolution: float = 0.0) -> Band:
    """The band of the figures of some runs that differ by their seed alone; it reaches at least
    `resolution` to both sides, the smallest difference that the figure can show. Raises ValueError
    for fewer than two, of which there is no spread."""
    if len(values) < 2:
        raise ValueError(f"a band needs at least two runs, there are {len(values)}.")
    count = len(values)
    spread = float(np.std(values, ddof=1))
    reach = t_quantile(0.95, count - 1) * spread * math.sqrt(1 + 1 / count)
    reach = max(reach, resolution)
    middle = float(np.mean(values))
    return Band(middle - reach, middle + reach)
