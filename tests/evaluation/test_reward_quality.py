"""Accuracy, AUC, calibration and their intervals, by hand, by enumeration and on simulated
models."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation.estimators import wilson_interval
from workbench.evaluation.reward_quality import (
    auc,
    expected_calibration_error,
    judge,
    quality_of_labels,
    quality_of_pairs,
    reliability,
)
from workbench.rewards.model import Outcome, Pair, RewardModelError, StepLabels


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=20))
def test_the_auc_counts_all_pairs_of_a_right_and_a_wrong_one(rows: list[tuple[int, bool]]) -> None:
    right = [value for value, is_right in rows if is_right]
    wrong = [value for value, is_right in rows if not is_right]
    found = auc(np.array([float(v) for v, _ in rows]), np.array([r for _, r in rows]))
    if not right or not wrong:
        assert math.isnan(found)
        return
    wins = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    assert found == pytest.approx(wins / (len(right) * len(wrong)), abs=1e-12)


def test_the_bins_and_the_calibration_error_by_hand() -> None:
    predicted = np.array([0.05, 0.08, 0.55, 0.55, 1.0])
    observed = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    bins = reliability(predicted, observed)
    assert [one.n for one in bins] == [2, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert bins[0].predicted == pytest.approx(0.065)
    assert bins[0].observed == 0.5
    assert bins[0].interval == wilson_interval(1, 2)
    assert math.isnan(bins[1].observed)
    assert bins[9].high == 1.0
    expected = (2 * 0.435 + 2 * 0.05 + 1 * 0) / 5
    assert expected_calibration_error(predicted, observed) == pytest.approx(expected)


def test_of_pairs_a_tie_counts_a_half_and_the_choices_probability_is_binned() -> None:
    quality = quality_of_pairs(
        np.array([2.0, 0.0, 1.0, 1.0]), np.array([0.0, 2.0, 1.0, 0.0]), "abcd"
    )
    assert quality.accuracy.value == (1 + 0 + 0.5 + 1) / 4
    assert quality.chance == 0.5
    assert quality.auc is None
    held = [one for one in quality.bins if one.n]
    # sigmoid(0) = .5, sigmoid(1) = .73, sigmoid(2) = .88 twice, one of them wrong.
    assert [one.n for one in held] == [1, 1, 2]
    assert held[2].observed == 0.5
    assert held[2].predicted == pytest.approx(1 / (1 + math.exp(-2)))


def test_a_label_that_is_a_share_counts_as_it_is_for_the_calibration_alone() -> None:
    predicted = np.array([0.75, 0.75, 0.25, 0.25])
    quality = quality_of_labels(predicted, np.array([0.75, 0.75, 0.25, 0.25]), "abcd")
    assert quality.accuracy.value == 1
    assert quality.calibration_error.value == pytest.approx(0)
    assert quality.auc is not None
    assert quality.auc.value == 1
    assert quality.chance == 0.5


def test_with_one_label_there_is_no_auc_and_chance_is_certain() -> None:
    quality = quality_of_labels(np.array([0.9, 0.8]), np.array([1.0, 1.0]), "ab")
    assert quality.auc is None
    assert quality.chance == 1
    assert not quality.beats_chance
    assert quality.as_dict()["auc"] is None


def test_the_interval_goes_by_problems_not_by_examples() -> None:
    """Twenty problems, each with ten examples that are all right or all wrong: as wide as with one
    example each."""
    right = np.repeat([True, False], 10)
    alone = quality_of_pairs(right.astype(float), np.zeros(20) + 0.5, [str(i) for i in range(20)])
    tenfold = quality_of_pairs(
        np.repeat(right, 10).astype(float), np.zeros(200) + 0.5, [str(i // 10) for i in range(200)]
    )
    assert tenfold.accuracy == alone.accuracy
    assert tenfold.accuracy.n == 20
    assert tenfold.accuracy.low < 0.35
    assert tenfold.accuracy.high > 0.65


def test_few_problems_that_are_all_right_do_not_prove_that_none_is_wrong() -> None:
    quality = quality_of_pairs(np.ones(8), np.zeros(8), [str(i) for i in range(8)])
    assert (quality.accuracy.low, quality.accuracy.high) == wilson_interval(8, 8)


def test_a_calibrated_model_has_a_small_error_and_a_boastful_one_a_large() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=4000)
    label = (rng.uniform(size=4000) < chance).astype(float)
    assert expected_calibration_error(chance, label) < 0.03
    boastful = np.where(chance > 0.5, 0.99, 0.01)
    assert expected_calibration_error(boastful, label) > 0.2
    # Of a model that knows nothing the interval holds chance, and says so.
    blind = quality_of_labels(rng.uniform(size=400), label[:400], [str(i) for i in range(400)])
    assert not blind.beats_chance


class Told:
    """A reward model that reads its number from the text."""

    def scores(self, messages, completions):
        import torch

        return torch.tensor([float(text) for text in completions])

    def step_scores(self, messages, completions, ends):
        return [[float(text)] * len(of_one) for text, of_one in zip(completions, ends, strict=True)]


def test_examples_of_each_kind_are_judged_by_their_kind() -> None:
    pairs = [Pair("p", (), "2", "1"), Pair("q", (), "0", "1")]
    assert judge(Told(), pairs).accuracy.value == 0.5
    outcomes = [Outcome("p", (), "0.9", 1.0), Outcome("q", (), "0.2", 0.0)]
    quality = judge(Told(), outcomes)
    assert (quality.kind, quality.accuracy.value, quality.examples) == ("outcome", 1.0, 2)
    steps = [
        StepLabels("p", (), "0.9", (1, 2), (1.0, 0.0)),
        StepLabels("q", (), "0.1", (1,), (0.0,)),
    ]
    quality = judge(Told(), steps)
    assert (quality.kind, quality.examples) == ("process", 3)
    assert quality.accuracy.value == pytest.approx(2 / 3)
    assert quality.accuracy.n == 2
    with pytest.raises(RewardModelError, match="no held-out example"):
        judge(Told(), [])


def test_the_bootstraps_seed_decides_the_interval() -> None:
    rng = np.random.default_rng(1)
    chosen, rejected = rng.normal(size=(2, 60))
    names = [str(i) for i in range(60)]
    first, again, other = (quality_of_pairs(chosen, rejected, names, seed=s) for s in (0, 0, 7))
    assert first.accuracy == again.accuracy
    assert first.accuracy.low != other.accuracy.low or first.accuracy.high != other.accuracy.high


def test_one_problem_proves_nothing_of_the_next() -> None:
    """Drawing it anew gives it again: an interval of no width, which every chance lies below."""
    chosen_E = np.array([1.0, 2.0, 3.0, 0.0])
    rejected_E = np.array([0.0, 0.0, 0.0, 1.0])
    one = quality_of_pairs(chosen_E, rejected_E, ["p"] * 4)
    assert one.accuracy.value == 0.75
    assert not one.beats_chance
    assert one.accuracy.high - one.accuracy.low > 0.5
    # Two that are alike prove little more.
    alike = quality_of_pairs(
        np.tile(chosen_E, 2), np.tile(rejected_E, 2), [*"pppp", *"qqqq"], seed=1
    )
    assert not alike.beats_chance
