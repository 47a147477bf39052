"""mean@K, pass@k and maj@k against enumeration, and their intervals against what they promise."""

from __future__ import annotations

import math
import random
from itertools import combinations
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation import (
    majority_at_k,
    majority_right,
    mean_over_problems,
    pass_at_k,
    wilson_interval,
)

SAMPLES = st.lists(st.booleans(), min_size=1, max_size=9)


@given(SAMPLES, st.data())
def test_pass_at_k_is_the_share_of_all_choices_of_k_that_hold_a_right_one(right_K, data) -> None:
    k = data.draw(st.integers(1, len(right_K)))
    choices = [any(chosen) for chosen in combinations(right_K, k)]
    assert pass_at_k(sum(right_K), len(right_K), k) == pytest.approx(mean(choices), abs=1e-12)


def test_pass_at_k_of_many_samples_neither_overflows_nor_leaves_its_range() -> None:
    assert pass_at_k(1, 100_000, 50_000) == pytest.approx(0.5)
    assert pass_at_k(99_999, 100_000, 2) == 1.0
    assert pass_at_k(0, 5, 5) == 0.0


@pytest.mark.parametrize(("right", "samples", "k"), [(1, 4, 0), (1, 4, 5), (5, 4, 1), (-1, 4, 1)])
def test_pass_at_k_refuses_what_cannot_be(right: int, samples: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} of {samples} samples, {right} right"):
        pass_at_k(right, samples, k)


def test_the_majority_by_hand() -> None:
    assert majority_right(["8", "8", "5"], [True, True, False]) == 1.0
    assert majority_right(["5", "8", "5"], [False, True, False]) == 0.0
    # Two answers with two votes each: one of them is right.
    assert majority_right(["8", "5", "5", "8"], [True, False, False, True]) == 0.5
    # One vote, and one of its two spellings is right.
    assert majority_right(["5", "5", "8"], [True, False, False]) == 0.5
    # What cannot be read has no vote, so one readable answer beats two that are not.
    assert majority_right([None, None, "8"], [False, False, True]) == 1.0
    assert majority_right([None, None], [False, False]) == 0.0


def test_maj_at_k_takes_blocks_that_do_not_overlap() -> None:
    vote_K, right_K = ["8", "5", "5", "8", "8"], [True, False, False, True, True]
    assert majority_at_k(vote_K, right_K, 1) == pytest.approx(3 / 5)
    assert majority_at_k(vote_K, right_K, 2) == pytest.approx((0.5 + 0.5) / 2)
    assert majority_at_k(vote_K, right_K, 5) == 1.0
    with pytest.raises(ValueError, match="maj@6 of 5"):
        majority_at_k(vote_K, right_K, 6)


@given(SAMPLES)
def test_at_one_sample_all_three_are_the_mean(right_K) -> None:
    vote_K = ["right" if right else f"wrong {i}" for i, right in enumerate(right_K)]
    assert majority_at_k(vote_K, right_K, 1) == pytest.approx(mean(right_K))
    assert pass_at_k(sum(right_K), len(right_K), 1) == pytest.approx(mean(right_K))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_zeros_and_ones_have_wilsons_own_interval(right_N) -> None:
    found = mean_over_problems([float(right) for right in right_N])
    assert (found.low, found.high) == pytest.approx(wilson_interval(sum(right_N), len(right_N)))
    assert found.n == len(right_N)


def test_no_problem_says_nothing() -> None:
    found = mean_over_problems([])
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (0.0, 1.0, 0)


def test_problems_that_are_all_or_nothing_are_not_counted_once_per_sample() -> None:
    alike = mean_over_problems([1.0, 0.0] * 10, samples=16)
    mixed = mean_over_problems([0.5] * 20, samples=16)
    assert alike.high - alike.low > 3 * (mixed.high - mixed.low)
    # 20 problems of 16 samples are 320 draws at the most, however equal the problems are.
    assert (mixed.low, mixed.high) == pytest.approx(wilson_interval(160, 320), abs=1e-9)
    # At an end a problem's samples may be as one, and nothing shows it.
    perfect = mean_over_problems([1.0] * 20, samples=16)
    assert (perfect.low, perfect.high) == pytest.approx(wilson_interval(20, 20))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """400 experiments: 60 problems, each with its own chance of being solved, 8 samples each."""
    rng = random.Random(0)
    truth, held = 0.6, 0
    for _ in range(400):
        chance_N = [rng.betavariate(0.6, 0.4) for _ in range(60)]
        value_N = [mean(rng.random() < chance for _ in range(8)) for chance in chance_N]
        found = mean_over_problems(value_N, samples=8)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_one_problem_asked_often_says_nothing_of_the_next() -> None:
    """Its samples tell its own share, and no other problem's."""
    often = mean_over_problems([0.5], 64)
    assert (often.low, often.high) == pytest.approx(wilson_interval(0.5, 1))
    assert mean_over_problems([0.5] * 50, 64).high < 0.55
