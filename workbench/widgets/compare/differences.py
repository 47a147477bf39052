"""What two runs differ by: step by step with its spread, and at the end with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.experiment.statistics import difference_of_shares, t_quantile
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
    both = run.metrics[["step", metric]].merge(
        other.metrics[["step", metric]], on="step", suffixes=("_run", "_other")
    )
    both = both[both["step"] > after].dropna()
    if not len(both):
        return None
    difference = (both[f"{metric}_run"] - both[f"{metric}_other"]).to_numpy(float)
    return _windowed(both["step"].to_numpy(float), difference)


def _windowed(step: np.ndarray, difference: np.ndarray) -> Difference:
    """The paired t interval of each window's mean, all windows at once: `mean_interval` of each
    would cost a long run's page too much."""
    import pandas as pd

    near = pd.Series(difference).rolling(WINDOW, center=True, min_periods=1)
    mean = near.mean().to_numpy()
    count = near.count().to_numpy()
    spread = near.std(ddof=1).to_numpy()
    quantile = np.array([t_quantile(0.95, int(n) - 1) if n > 1 else np.nan for n in count])
    half = quantile * spread / np.sqrt(count)
    return Difference(step, mean, mean - half, mean + half)


def held_out_difference(run: RunSource, other: RunSource, after: int = 0) -> Difference | None:
    """The same of the accuracy on the problems held out, at the steps at which both were
    evaluated."""
    tables = [_first_split(one) for one in (run, other)]
    both = tables[0].merge(tables[1], on="step", suffixes=("_run", "_other"))
    both = both[both["step"] > after]
    if not len(both):
        return None
    rows = [
        difference_of_shares(
            (row.accuracy_run, row.low_run, row.high_run),
            (row.accuracy_other, row.low_other, row.high_other),
        )
        for row in both.itertuples()
    ]
    value, low, high = (np.array(column, float) for column in zip(*rows, strict=True))
    return Difference(both["step"].to_numpy(float), value, low, high)


def _first_split(source: RunSource):  # type: ignore[no-untyped-def]  # a pandas frame
    table = source.evaluations
    if len(table):
        table = table[table["split"] == table["split"].iloc[0]]
    return table[["step", "accuracy", "low", "high"]]


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
