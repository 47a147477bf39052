"""Intervals and numbers of seeds against printed tables, by hand, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.experiment.statistics import (
    mean_interval,
    next_value,
    seeds_needed,
)
from workbench.runs.student_t import t_quantile


def test_an_interval_by_hand() -> None:
    found = mean_interval([1.0, 2.0, 3.0, 6.0])
    # Mean 3, variance (4 + 1 + 0 + 9) / 3, t of three degrees of freedom 3.1824.
    half = 3.18244630 * math.sqrt(14 / 3) / 2
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), rel=1e-7)
    assert next_value([1.0, 2.0, 3.0, 6.0]) == pytest.approx(
        (3 - half * math.sqrt(5), 3 + half * math.sqrt(5)), rel=1e-7
    )
    assert mean_interval([]).n == 0
    assert math.isnan(mean_interval([4.0]).low)
    # Values that agree are rounded to 1/100 each, not certain.
    flat = mean_interval([0.02, 0.02], resolution=0.01)
    assert flat.high - flat.value == pytest.approx(
        12.7062 * 0.01 / math.sqrt(6) / math.sqrt(2), 1e-5
    )
    boots = mean_interval([1.0, 2.0, 3.0, 6.0], how="bootstrap")
    assert 1 <= boots.low < 3 < boots.high <= 6
    assert boots == mean_interval([1.0, 2.0, 3.0, 6.0], how="bootstrap")


def test_the_t_interval_holds_what_it_says_and_the_bootstrap_does_not() -> None:
    """Why the default is t (Colas et al. 2018): with five seeds the bootstrap's 95 % are far
    fewer."""
    drawn = np.random.default_rng(1).normal(0.0, 1.0, (600, 5))
    hits = {
        how: np.mean([(i := mean_interval(x, how=how)).low <= 0 <= i.high for x in drawn])
        for how in ("t", "bootstrap")
    }
    assert hits["t"] == pytest.approx(0.95, abs=0.03)
    assert hits["bootstrap"] < 0.90


def test_the_seeds_needed_are_those_of_power_tables_and_do_what_they_say() -> None:
    # Paired t test, two-sided 5 %, power 80 %: Cohen's tables (G*Power) for d = .2, .5, .8, 1.
    needed = {d: seeds_needed(d, 1.0) for d in (0.2, 0.5, 0.8, 1.0)}
    assert needed == {0.2: 199, 0.5: 34, 0.8: 15, 1.0: 10}
    assert seeds_needed(-0.5, 1.0) == 34
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-4, 1.0) is None
    assert seeds_needed(1.0, math.nan) is None
    assert seeds_needed(5.0, 1e-9) == 2
    drawn = np.random.default_rng(2).normal(1.0, 1.0, (2000, 10))
    half = t_quantile(0.95, 9) * drawn.std(axis=1, ddof=1) / math.sqrt(10)
    assert np.mean(drawn.mean(axis=1) > half) == pytest.approx(0.8, abs=0.035)
