"""How often a reward model ranks recorded completions as the gold reward does, step by step, and
the pictures of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_runs import make_run

from workbench.course import reliability_chart, stale_chart
from workbench.evaluation import AgreementError, reward_model_agreement, wilson_interval
from workbench.evaluation.reward_agreement import as_columns, ranked_alike
from workbench.evaluation.reward_quality import quality_of_labels

NAN = math.nan


def test_pairs_are_ranked_by_hand() -> None:
    gold = np.array([1.0, 1.0, 0.0, 0.0])
    # Of the four unequal pairs: right, tie, right, wrong.
    assert ranked_alike(np.array([3.0, 1.0, 1.0, 2.0]), gold) == (2.5, 4)
    assert ranked_alike(np.array([1.0, 2.0]), np.array([1.0, 1.0])) == (0.0, 0)
    assert ranked_alike(np.array([NAN, 2.0, 1.0]), np.array([1.0, 1.0, 0.0])) == (1.0, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8))
def test_the_count_is_that_of_a_double_loop(rows: list[tuple[int, int]]) -> None:
    alike, pairs = ranked_alike(
        np.array([float(p) for p, _ in rows]), np.array([float(g) for _, g in rows])
    )
    unequal = [(a[0], b[0]) for a in rows for b in rows if a[1] > b[1]]
    assert pairs == len(unequal)
    assert alike == sum((a > b) + 0.5 * (a == b) for a, b in unequal)


def moving(step: int) -> np.ndarray:
    """Gold is the row's parity; the proxy is gold in the first two steps and its opposite later."""
    gold = np.arange(16) % 2.0
    return np.stack([gold if step <= 2 else 1 - gold, gold], 1)


@pytest.fixture
def run(tmp_path):
    return make_run(
        tmp_path / "run",
        steps=4,
        reward_names=["proxy", "gold"],
        rewards=moving,
        config={"reward_weights": [1, 0]},
    )


def test_a_recorded_reward_that_turns_against_the_gold_one_is_seen(run) -> None:
    found = reward_model_agreement(run, "proxy", gold="gold")
    assert [one.step for one in found] == [1, 2, 3, 4]
    assert [one.agreement.value for one in found] == [1, 1, 0, 0]
    # Four groups of two right and two wrong.
    assert [(one.pairs, one.agreement.n) for one in found] == [(16, 4)] * 4
    # Four groups that are all alike leave room for a fifth that is not.
    assert (found[0].agreement.low, found[0].agreement.high) == wilson_interval(4, 4)
    assert [(one.proxy, one.gold) for one in found] == [(0.5, 0.5)] * 4
    assert as_columns(found)["agreement"] == [1, 1, 0, 0]


class Length:
    """A reward model that counts characters."""

    def __init__(self) -> None:
        self.asked: list = []

    def scores(self, messages, completions):
        self.asked += messages
        return torch.tensor([float(len(text)) for text in completions])


def test_a_model_scores_the_recorded_completions_anew(tmp_path) -> None:
    def texts(step: int) -> list[str]:
        """The right answer is the longest until step 2, then the shortest."""
        right = "<answer>8</answer>" + ("." * 9 if step <= 1 else "")
        return [right, "<answer>9</answer>.."] * 8

    run = make_run(tmp_path / "run", steps=2, texts=texts)
    answers = run.samples(1)["gold_answer"]
    model = Length()

    def gold(completions, answer, **_):
        assert len(answer) == len(answers)
        return [float("8" in c[0]["content"]) for c in completions]

    from workbench.rewards import RewardSet

    found = reward_model_agreement(
        run, model, gold=RewardSet([gold]), steps=[1, 2], system_prompt="be brief"
    )
    assert [one.agreement.value for one in found] == [1, 0]
    assert model.asked[0][0] == {"role": "system", "content": "be brief"}
    assert model.asked[0][1]["content"] == run.samples(1)["prompt"][0]


def test_steps_without_a_pair_say_so_and_a_run_without_samples_is_refused(tmp_path) -> None:
    same = make_run(
        tmp_path / "same", steps=2, reward_names=["r"], rewards=lambda step: np.ones((16, 1))
    )
    (first, _) = reward_model_agreement(same, "r", gold="r")
    assert math.isnan(first.agreement.value)
    assert (first.pairs, first.agreement.n) == (0, 0)
    with pytest.raises(AgreementError, match="no reward 'proxy'. It recorded r;"):
        reward_model_agreement(same, "proxy", gold="r")
    bare = make_run(tmp_path / "bare", steps=2, samples=False)
    with pytest.raises(AgreementError, match="kept the completions of none"):
        reward_model_agreement(bare, "r", gold="r")


def test_the_pictures_hold_the_numbers(run) -> None:
    found = reward_model_agreement(run, "proxy", gold="gold")
    drawn = stale_chart(found)
    agreement = drawn._charts[0]["data"][0]
    assert agreement["y"].tolist() == [1, 1, 0, 0]
    assert len(drawn._charts) == 3
    with pytest.raises(ValueError, match=r"1 step\(s\) cannot be drawn"):
        stale_chart(found[:1])
    quality = quality_of_labels(np.array([0.15, 0.15, 0.85]), np.array([0.0, 1.0, 1.0]), "abc")
    model = reliability_chart(quality)._charts[0]["data"][-1]
    assert model["x"].tolist() == pytest.approx([0.15, 0.85])
    assert model["y"].tolist() == [0.5, 1]
