"""What a figure was before and after a step: the mean of some steps on either side, with their
spread. Pure.

    reward 1.20 ± 0.08 → 1.52 ± 0.06 (8 steps each side)

The spread is the standard deviation of the steps' own values (with n - 1), not the error of their
mean: it says how far a step may lie from it by itself. A window ends at another knob change, so
that each side is of one setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

STEPS = 8
"""Of each side, where there are so many."""


@dataclass(frozen=True)
class Side:
    """Some steps in a row."""

    mean: float
    """NaN where no step has a value."""

    spread: float
    """Standard deviation, NaN of fewer than two."""

    count: int
    """Steps that have a value."""

    @classmethod
    def of(cls, values: np.ndarray) -> Side:
        known = values[np.isfinite(values)]
        mean = float(known.mean()) if len(known) else math.nan
        spread = float(known.std(ddof=1)) if len(known) > 1 else math.nan
        return cls(mean, spread, len(known))


@dataclass(frozen=True)
class Change:
    """A figure on both sides of a step."""

    before: Side
    after: Side

    def words(self, name: str, *, percent: bool = False, with_steps: bool = True) -> str:
        """'reward 1.20 ± 0.08 → 1.52 ± 0.06 (8 steps each side)'."""
        digits = _digits([self.before, self.after], 100 if percent else 1)
        told = [_told(side, digits, percent) for side in (self.before, self.after)]
        over = f" ({self.over})" if with_steps else ""
        return f"{name} {' → '.join(told)}{over}"

    @property
    def over(self) -> str:
        """How many steps the means are over, in words."""
        before, after = self.before.count, self.after.count
        if before == after:
            return "1 step each side" if before == 1 else f"{before} steps each side"
        return f"{before} {_plural(before)} before, {after} after"


def change_at(
    steps: np.ndarray, values: np.ndarray, first: int, walls: Iterable[int] = ()
) -> Change:
    """The figure `values` (one for each of `steps`, ascending) before step `first`, and from it on.

    `walls` are the first steps of other settings: no window goes across one.
    """
    start = max([first - STEPS, *(wall for wall in walls if wall < first)])
    end = min([first + STEPS, *(wall for wall in walls if wall > first)])
    is_before = (steps >= start) & (steps < first)
    is_after = (steps >= first) & (steps < end)
    return Change(Side.of(values[is_before]), Side.of(values[is_after]))


def _digits(sides: list[Side], scale: float) -> int:
    """Decimals that show the larger spread with one digit, or two where it begins with 1 or 2, and
    the smaller one as more than 0."""
    spreads = [scale * side.spread for side in sides if side.spread > 0]
    if not spreads:
        known = [abs(scale * side.mean) for side in sides if side.mean]
        smallest = min([one for one in known if math.isfinite(one)], default=1.0)
        return _decimals(2 - _power(smallest))
    largest = max(spreads)
    more = 1 if largest / 10.0 ** _power(largest) < 3 else 0
    return _decimals(max(more - _power(largest), -_power(min(spreads))))


def _power(value: float) -> int:
    return math.floor(math.log10(value))


def _decimals(wanted: int) -> int:
    return min(max(wanted, 0), 8)


def _told(side: Side, digits: int, percent: bool) -> str:
    if side.count == 0:
        return "no step yet"
    scale = 100 if percent else 1
    unit = " %" if percent else ""
    if side.mean == 0 and not side.spread > 0:
        return f"0{unit}"
    mean = f"{scale * side.mean:.{digits}f}"
    if not math.isfinite(side.spread):
        return f"{mean}{unit}"
    return f"{mean} ± {scale * side.spread:.{digits}f}{unit}"


def _plural(count: int) -> str:
    return "step" if count == 1 else "steps"
