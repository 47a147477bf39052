"""The curriculum by pass rates: the chance of a live group by enumeration, draws by weight, and
nothing that depends on more than its arguments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from workbench.tasks.curriculum import (
    PassRates,
    alive_chance,
    draw_by_weight,
    sampling_weights,
)


@pytest.mark.parametrize("group_size", [1, 2, 4])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_the_chance_of_a_live_group_is_that_of_all_its_outcomes(
    group_size: int, rate: float
) -> None:
    chance = sum(
        math.prod(rate if right else 1 - rate for right in group)
        for group in itertools.product((True, False), repeat=group_size)
        if len(set(group)) == 2
    )
    assert alive_chance(np.array([rate]), group_size)[0] == pytest.approx(chance)


def test_rates_are_counted_with_one_right_and_one_wrong_answer_more() -> None:
    rates = PassRates.none_yet(4)
    assert rates.rate_P.tolist() == [0.5] * 4
    right_NG = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    after = rates.after([2, 0, 2], right_NG)
    assert after.solved_P.tolist() == [0, 0, 4, 0]
    assert after.tried_P.tolist() == [4, 0, 8, 0]
    assert after.rate_P.tolist() == [1 / 6, 1 / 2, 5 / 10, 1 / 2]
    assert not rates.tried_P.any()


def test_what_is_half_solved_is_drawn_most_and_nothing_never() -> None:
    rate_P = np.array([0.01, 0.5, 0.99])
    weight_P = sampling_weights(rate_P, 8, 0.1)
    assert weight_P[1] == pytest.approx(0.1 + 0.9 * (1 - 2 * 0.5**8))
    assert weight_P[0] == pytest.approx(weight_P[2])
    assert 0.1 < weight_P[0] < 0.2


def test_draws_follow_the_weights() -> None:
    weight_P = np.array([1.0, 2, 5])
    drawn = [draw_by_weight(weight_P, cursor, 1, 0)[0] for cursor in range(4000)]
    share_P = np.bincount(drawn, minlength=3) / 4000
    # Four standard errors of a share of 4000.
    assert share_P == pytest.approx(weight_P / 8, abs=4 * math.sqrt(0.25 / 4000))


def test_a_draw_is_a_function_of_its_arguments_and_repeats_nothing() -> None:
    weight_P = np.linspace(0.1, 1, 10)
    first = draw_by_weight(weight_P, 20, 10, 3)
    assert sorted(first) == list(range(10))
    assert first == draw_by_weight(weight_P, 20, 10, 3)
    assert first != draw_by_weight(weight_P, 21, 10, 3)
    assert first != draw_by_weight(weight_P, 20, 10, 4)
    more = draw_by_weight(weight_P, 0, 25, 3)
    assert sorted(more[:10]) == sorted(more[10:20]) == list(range(10))
    assert len(set(more[20:])) == 5


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="the weight of problem 1 is 0"):
        draw_by_weight(np.array([1.0, 0.0]), 0, 1, 0)
