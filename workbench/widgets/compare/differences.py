"""What two runs differ by: step by step with its spread, and at the end with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.experiment.statistics import difference_of_shares
from workbench.runs.student_t import t_quantile
from workbench.widgets.base.source import RunSource

WINDOW = 9
"""Steps over which a difference is averaged: those of single steps are mostly noise of the few
prompts."""


@dataclass(frozen=True)
class Difference:
    """One run minus another at each of `step`; `low` and `high` are NaN where they are not
    known."""

    step: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def metric_difference(
    run: RunSource, other: RunSource, metric: str, after: int = 0
) -> Difference | None:
    """`run` minus `other` at the steps after `after` that both have: the mean over `WINDOW` steps
    around with the paired t interval of these steps. None where they share no step."""
    if metric not in run.metrics or metric not in other.metrics:
        return None
    (step, own), (other_step, others) = (_column(one, metric) for one in (run, other))
    both, place, other_place = np.intersect1d(step, other_step, return_indices=True)
    kept = both > after
    if not kept.any():
        return None
    difference = own[place[kept]] - others[other_place[kept]]
    return _windowed(both[kept], difference)


def _column(source: RunSource, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps at which the metric is known, and its values."""
    step = source.metrics["step"].to_numpy(float)
    value = source.metrics[metric].to_numpy(float)
    known = np.isfinite(value)
    return step[known], value[known]


def _windowed(step: np.ndarray, difference: np.ndarray) -> Difference:
    """The paired t interval of each window's mean, all windows at once: `mean_interval` of each
    would cost a long run's page too much."""
    import pandas as pd

    near = pd.Series(difference).rolling(WINDOW, center=True, min_periods=1)
    mean = near.mean().to_numpy()
    count = near.count().to_numpy()
    spread = near.std(ddof=1).to_numpy()
    widths = {int(n): t_quantile(0.95, int(n) - 1) for n in np.unique(count) if n > 1}
    quantile = np.array([widths.get(int(n), np.nan) for n in count])
    half = quantile * spread / np.sqrt(count)
    return Difference(step, mean, mean - half, mean + half)


def held_out_difference(run: RunSource, other: RunSource, after: int = 0) -> Difference | None:
    """The same of the accuracy on the problems held out, at the steps at which both were
    evaluated."""
    (step, own), (other_step, others) = (_evaluated(one) for one in (run, other))
    both, place, other_place = np.intersect1d(step, other_step, return_indices=True)
    kept = both > after
    if not kept.any():
        return None
    pairs = zip(own[place[kept]].tolist(), others[other_place[kept]].tolist(), strict=True)
    rows = [difference_of_shares(first, second) for first, second in pairs]
    value, low, high = np.array(rows, float).T
    return Difference(both[kept], value, low, high)


def _evaluated(source: RunSource) -> tuple[np.ndarray, np.ndarray]:
    """The steps of the evaluations on the first split, and (accuracy, low, high) of each."""
    table = source.evaluations
    if not len(table):
        return np.array([]), np.empty((0, 3))
    first = (table["split"] == table["split"].iloc[0]).to_numpy()
    columns = [table[name].to_numpy(float)[first] for name in ("accuracy", "low", "high")]
    return table["step"].to_numpy(float)[first], np.stack(columns, axis=1)


@dataclass(frozen=True)
class LastEvaluation:
    """The newest evaluation of a run."""

    step: int
    n: int
    accuracy: float
    low: float
    high: float
    split: str


def last_evaluation(source: RunSource) -> LastEvaluation | None:
    """The newest evaluation on the split that was evaluated first; None without one."""
    table = source.evaluations
    if not len(table):
        return None
    row = table[table["split"] == table["split"].iloc[0]].iloc[-1]
    return LastEvaluation(
        step=int(row.step),
        n=int(row.n),
        accuracy=float(row.accuracy),
        low=float(row.low),
        high=float(row.high),
        split=str(row.split),
    )
