"""Thinning out for drawing: what must stay, stays; what is drawn is bounded and does not
shimmer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.widgets.plots.decimate import POINTS, bucket_size, decimate, keep, means

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))
LINES = st.integers(0, 400).flatmap(lambda n: arrays(float, n, elements=VALUES))
LIMITS = st.integers(16, 90)


@settings(max_examples=300, deadline=None)
@given(LINES, LIMITS)
def test_few_sorted_points_with_both_ends(y: np.ndarray, limit: int) -> None:
    kept = keep(y, limit=limit)
    assert len(kept) <= max(limit, 0)
    assert (np.diff(kept) > 0).all()
    if len(y):
        assert kept[0] == 0
        assert kept[-1] == len(y) - 1


@settings(max_examples=300, deadline=None)
@given(LINES, LIMITS)
def test_the_extremes_and_the_outermost_values_stay(y: np.ndarray, limit: int) -> None:
    kept = y[keep(y, limit=limit)]
    there, shown = y[np.isfinite(y)], kept[np.isfinite(kept)]
    assert len(shown) == 0 if len(there) == 0 else True
    if len(there):
        assert (shown.min(), shown.max(), shown[0], shown[-1]) == (
            there.min(),
            there.max(),
            there[0],
            there[-1],
        )


@settings(max_examples=300, deadline=None)
@given(LINES, LIMITS)
def test_a_gap_stays_a_gap_and_no_gap_is_made_up(y: np.ndarray, limit: int) -> None:
    kept = keep(y, limit=limit)
    finite = np.isfinite(y)
    drawn = kept[finite[kept]]
    for a, b in itertools.pairwise(drawn):
        hole_kept = bool(((kept > a) & (kept < b)).any())
        assert hole_kept == bool((~finite[a:b]).any())


@settings(max_examples=100, deadline=None)
@given(st.integers(1000, 12000), st.integers(0, 10**6), st.booleans())
def test_a_spike_of_one_step_stays(n: int, where: int, up: bool) -> None:
    y = np.sin(np.arange(n) / 50)
    y[where % n] = 9.0 if up else -9.0
    assert where % n in keep(y)


@settings(max_examples=200, deadline=None)
@given(LINES, st.integers(16, 60))
def test_a_band_keeps_its_lowest_low_and_highest_high(low: np.ndarray, limit: int) -> None:
    high = low + 1 + np.arange(len(low)) % 7
    kept = keep(low, high, limit=limit)
    there = np.isfinite(low)
    if there.any():
        shown = kept[there[kept]]
        assert low[shown].min() == low[there].min()
        assert high[shown].max() == high[there].max()


@given(arrays(float, 500, elements=st.floats(-1, 1)))
@settings(max_examples=30, deadline=None)
def test_short_lines_are_untouched(y: np.ndarray) -> None:
    x, shown = decimate(np.arange(500), y)
    assert (shown == y).all()
    assert (x == np.arange(500)).all()


def test_a_growing_line_keeps_its_points() -> None:
    y = np.random.default_rng(0).normal(size=5000)
    for n in (1201, 2000, 2399):  # within one size of bucket: 599 points in 299 buckets
        before, after = keep(y[:n]), keep(y[: n + 1])
        size = bucket_size(n, (POINTS - 2) // 2)
        assert size == bucket_size(n + 1, (POINTS - 2) // 2)
        settled = before[before < (n - 1) // size * size]
        assert np.isin(settled, after).all()


def test_infinite_values_are_drawn_as_gaps() -> None:
    _, y = decimate(np.arange(4), np.array([1.0, np.inf, -np.inf, 2.0]))
    assert np.isnan(y).tolist() == [False, True, True, False]


@settings(max_examples=100, deadline=None)
@given(LINES, st.sampled_from([1, 2, 8, 64]))
def test_means_are_those_of_the_finite_values(y: np.ndarray, size: int) -> None:
    found = means(y, size)
    for i, value in enumerate(found):
        part = y[i * size : (i + 1) * size]
        part = part[np.isfinite(part)]
        assert np.isnan(value) if not len(part) else value == pytest.approx(part.mean(), abs=1e-6)
    assert len(found) == -(-len(y) // size)


@pytest.mark.parametrize(
    "wrong", [dict(low=np.zeros(3), limit=15), dict(low=np.zeros(3), high=np.zeros(4))]
)
def test_impossible_wishes_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="at least 16"):
        keep(**wrong)
