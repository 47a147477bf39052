"""A control beside what was trained, and what a training has sharpened: by hand."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation import gain, mean_difference, paired_differences
from workbench.evaluation.answered import Verdict
from workbench.runs import Answered


def verdict(problem: int, greedy: bool, right: str, question: str = "") -> Verdict:
    """`right`: a letter for each sample, r where it is right."""
    answered = Answered(problem, question or f"q{problem}", "1", "", "", [""] * len(right))
    right_K = [letter == "r" for letter in right]
    return Verdict(answered, greedy, right_K, ["1" if one else "2" for one in right_K])


BEFORE = [verdict(0, False, "rwww"), verdict(1, True, "rrrw"), verdict(2, False, "wwww")]
AFTER = [verdict(0, True, "rrrr"), verdict(1, True, "rrrr"), verdict(2, False, "rwww")]


def test_each_figure_less_that_of_the_control() -> None:
    found = paired_differences(AFTER, BEFORE)
    values = {name: one.value for name, one in found.items()}
    assert values["greedy"] == pytest.approx(1 / 3)
    assert values["mean@4"] == pytest.approx((3 / 4 + 1 / 4 + 1 / 4) / 3)
    assert values["pass@4"] == pytest.approx(1 / 3)
    assert values["maj@4"] == pytest.approx(1 / 3)
    assert {one.n for one in found.values()} == {3}


def test_a_problem_without_a_verdict_in_one_is_left_out_of_both() -> None:
    assert paired_differences(AFTER[1:], BEFORE)["greedy"].n == 2
    assert paired_differences(AFTER[1:], BEFORE)["greedy"].value == 0.0
    with pytest.raises(ValueError, match="problem 0 is 'other' in one evaluation and 'q0'"):
        paired_differences([verdict(0, True, "r", "other")], [verdict(0, True, "r")])


def test_the_interval_is_bonetts_and_prices() -> None:
    """40 pairs, 12 won and 4 lost: p12 = 13/42, p21 = 5/42, their formula (2012)."""
    found = mean_difference([1.0] * 12 + [-1.0] * 4 + [0.0] * 24)
    won, lost = 13 / 42, 5 / 42
    half = 1.959964 * math.sqrt((won + lost - (won - lost) ** 2) / 42)
    assert found.value == pytest.approx(8 / 40)
    assert (found.low, found.high) == pytest.approx((won - lost - half, won - lost + half))


def test_nothing_that_differs_is_not_certainty() -> None:
    found = mean_difference([0.0] * 98)
    assert (found.low, found.high) == pytest.approx(
        (-1.959964 * math.sqrt(0.02 / 100), 1.959964 * math.sqrt(0.02 / 100))
    )
    assert mean_difference([]).as_dict() == {"value": None, "interval": [-1.0, 1.0], "n": 0}


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_interval_holds_the_value_and_stays_inside(values: list[float]) -> None:
    found = mean_difference(values)
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


def test_the_interval_covers_what_it_says() -> None:
    """2,000 evaluations of 60 problems whose true difference is 0.2."""
    draw = random.Random(0)
    covered = 0
    for _ in range(2000):
        values = [draw.choices([1.0, 0.0, -0.5], [0.3, 0.5, 0.2])[0] for _ in range(60)]
        found = mean_difference(values)
        covered += found.low <= 0.2 <= found.high
    assert 0.93 <= covered / 2000 <= 0.99


def test_a_gain_is_split_by_what_was_there_before() -> None:
    found = gain(BEFORE, AFTER)
    assert found.samples == 4
    assert found.total.value == pytest.approx((3 / 4 + 1 / 4 + 1 / 4) / 3)
    assert found.sharpened.value == pytest.approx((3 / 4 + 1 / 4) / 3)
    assert found.added.value == pytest.approx(1 / 4 / 3)
    assert found.in_reach.value == pytest.approx(2 / 3)
    assert str(found) == (
        "mean@4 has changed by +41.7 points: +33.3 of them are sharpening, on the 67% of the "
        "problems of which one of 4 samples was right before, and +8.3 lie on the others."
    )


@given(
    st.lists(
        st.tuples(st.text("rw", min_size=3, max_size=3), st.text("rw", min_size=3, max_size=3)),
        min_size=1,
    )
)
def test_the_parts_add_up(samples: list[tuple[str, str]]) -> None:
    before = [verdict(i, False, one) for i, (one, _) in enumerate(samples)]
    after = [verdict(i, False, one) for i, (_, one) in enumerate(samples)]
    found = gain(before, after)
    assert found.total.value == pytest.approx(found.sharpened.value + found.added.value)
    # What was never right cannot get worse.
    assert found.added.value >= 0


def test_without_samples_there_is_nothing_to_split() -> None:
    for before, after in (([], []), ([verdict(0, True, "")], [verdict(0, True, "")])):
        with pytest.raises(ValueError, match="--samples K"):
            gain(before, after)
