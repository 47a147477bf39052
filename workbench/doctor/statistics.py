"""Whether a curve moved: means of two windows with a margin that noise alone hardly exceeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.doctor.finding import figure
from workbench.doctor.thresholds import FEWEST_VALUES, LARGEST_INFLATION, MARGIN_ERRORS


@dataclass(frozen=True)
class Change:
    """How the means of two windows differ."""

    before: float
    """Mean of the earlier window, or what it led to expect."""

    after: float
    """Mean of the later window."""

    margin: float
    """What the difference must exceed to be more than noise."""

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def up(self) -> bool:
        """It rose by more than noise."""
        return self.difference > self.margin

    @property
    def down(self) -> bool:
        """It fell by more than noise."""
        return -self.difference > self.margin

    @property
    def factor(self) -> float:
        """After divided by before; infinite from 0."""
        return self.after / self.before if self.before else float("inf") if self.after else 1.0

    def within(self, bound: float) -> bool:
        """The difference is smaller than `bound` with near certainty."""
        return abs(self.difference) + self.margin <= bound

    def __str__(self) -> str:
        return f"{figure(self.before)} → {figure(self.after)} (noise ±{figure(self.margin)})"


def change(before: np.ndarray, after: np.ndarray) -> Change | None:
    """How two windows of per-step values differ; None when one is too short to tell.

    The margin is `MARGIN_ERRORS` standard errors of the difference (Welch). The noise is what a
    straight line through the window leaves over, so that a trend does not count as noise; it is
    widened where neighbouring steps resemble each other (first-order autocorrelation, with its
    small-sample bias taken out: Kendall 1954), since then there are fewer independent values than
    steps. Measured false alarms: 0.6 % for white noise in windows of 10, 0.2 % in windows of 30;
    2.6 % and 1.2 % with an autocorrelation of 0.3.
    """
    if min(len(before), len(after)) < FEWEST_VALUES:
        return None
    squared_error = _noise(before) / len(before) + _noise(after) / len(after)
    return _change(float(before.mean()), float(after.mean()), squared_error, before, after)


def departure(before: np.ndarray, after: np.ndarray) -> Change | None:
    """How a window differs from where the straight line through the window before it would have
    led; None when one is too short to tell. `before` of the result is the line's value at the
    middle of `after`, and its error counts."""
    if min(len(before), len(after)) < FEWEST_VALUES:
        return None
    position = _positions(len(before))
    distance = (len(before) + len(after)) / 2
    squares = float(position @ position)
    slope = float(position @ before / (position @ position))

    # The error of a line grows with the distance from the middle of the window that it was fitted
    # to.
    line_error = _noise(before) * (1 / len(before) + distance**2 / squares)
    squared_error = line_error + _noise(after) / len(after)
    expected = float(before.mean() + slope * distance)
    return _change(expected, float(after.mean()), squared_error, before, after)


def _change(
    expected: float, found: float, squared_error: float, before: np.ndarray, after: np.ndarray
) -> Change:
    rounding = 1e-9 * max(abs(before).max(), abs(after).max())
    return Change(expected, found, float(MARGIN_ERRORS * np.sqrt(squared_error) + rounding))


def _positions(count: int) -> np.ndarray:
    return np.arange(count) - (count - 1) / 2


def _noise(values: np.ndarray) -> float:
    """The variance around a straight line, widened for autocorrelation: divided by the count it is
    a mean's squared error."""
    position = _positions(len(values))
    residual = values - values.mean() - position * (position @ values) / (position @ position)
    variance = float(residual @ residual) / (len(values) - 2)
    # Values on a line leave rounding alone, whose autocorrelation means nothing.
    if variance <= 1e-18 * float(values @ values):
        return 0.0

    neighbour = float(residual[1:] @ residual[:-1]) / float(residual @ residual)
    # Few values make an autocorrelation look smaller than it is (Kendall 1954).
    neighbour += (2 + 4 * max(neighbour, 0)) / len(values)
    inflation = (1 + neighbour) / max(1 - neighbour, 1e-6)
    return float(np.clip(inflation, 1.0, LARGEST_INFLATION)) * variance
