"""Training in place: what it does to the loss, that it is the seed's, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from reward_examples import COMPLETIONS, MESSAGES

from workbench.rewards.model import (
    Outcome,
    Pair,
    RewardModelError,
    RewardTraining,
    StepLabels,
    retrain,
    reward_model_of,
    train,
    train_reward_model,
)

ASKED = tuple(MESSAGES[0])
PAIRS = [Pair(f"p{i}", ASKED, f"<answer>{i}</answer>", f"{i}") for i in range(24)]
OUTCOMES = [Outcome(f"p{i}", ASKED, "yes " * (i % 2) + str(i), float(i % 2)) for i in range(24)]
STEPS = [StepLabels("p", ASKED, COMPLETIONS[0], (13, 21, 48), (1.0, 0.5, 0.0)) for _ in range(24)]
QUICK = RewardTraining(learning_rate=3e-3, epochs=8, batch_size=8, warmup=0)


@pytest.mark.parametrize(
    ("kind", "examples", "floor"),
    # The label 1/2 leaves a loss of log 2 on a third of the steps, whatever is learned.
    [("pairs", PAIRS, 0.1), ("outcome", OUTCOMES, 0.1), ("process", STEPS, 0.3)],
)
def test_each_kind_learns_what_its_examples_show(tiny_policy, kind, examples, floor) -> None:
    made = reward_model_of(tiny_policy, kind)
    heard = []
    losses = train_reward_model(
        made, examples, QUICK, on_step=lambda step, of, loss: heard.append((step, of, loss))
    )
    assert len(losses) == 8 * 24 / 8
    assert [(step, of) for step, of, _ in heard] == [(i + 1, 24) for i in range(24)]
    assert losses[0] > 2 * floor
    assert losses[-1] < floor


def test_a_loss_is_that_of_the_batch_before_its_update(tiny_policy) -> None:
    made = reward_model_of(tiny_policy, "pairs")
    chosen, rejected = (
        made.scores([p.messages for p in PAIRS], [getattr(p, part) for p in PAIRS])
        for part in ("chosen", "rejected")
    )
    expected = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
    (loss,) = train_reward_model(made, PAIRS, RewardTraining(batch_size=24))
    assert loss == pytest.approx(expected.item(), abs=1e-5)


def test_a_step_model_learns_at_the_steps_ends(tiny_policy) -> None:
    made = reward_model_of(tiny_policy, "process")
    train_reward_model(made, STEPS, QUICK)
    (scores,) = made.step_scores([ASKED], [COMPLETIONS[0]], [STEPS[0].ends])
    assert scores == pytest.approx([1, 0.5, 0], abs=0.15)


def test_the_same_seed_gives_the_same_model_and_another_another_order(tiny_policy) -> None:
    def losses(seed: int) -> list[float]:
        how = RewardTraining(learning_rate=1e-3, batch_size=8, seed=seed)
        return train_reward_model(reward_model_of(tiny_policy, "pairs"), PAIRS, how)

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


def test_the_rate_rises_and_falls_to_0() -> None:
    rates = [train._rate(step, 20, 0.1) for step in range(20)]
    assert rates[:3] == [0.5, 1.0, pytest.approx(18 / 19)]
    assert rates[-1] == pytest.approx(1 / 19)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_retraining_goes_on_from_the_weights_with_a_tenth_of_the_old(made, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        train, "train_reward_model", lambda model, data, how, on_step: seen.extend(data) or []
    )
    old = [Outcome("old", ASKED, str(i), 0.0) for i in range(50)]
    new = [Outcome("new", ASKED, str(i), 1.0) for i in range(18)]
    retrain(made, new, old)
    assert [one for one in seen if one.problem == "old"] != []
    assert sum(one.problem == "old" for one in seen) == 2
    assert sorted(one.completion for one in seen if one.problem == "new") == sorted(
        map(str, range(18))
    )


def test_retraining_moves_the_model_in_place(made) -> None:
    before = made.scores(MESSAGES, COMPLETIONS)
    body = made.model
    retrain(made, OUTCOMES, how=QUICK)
    assert made.model is body
    assert not torch.equal(made.scores(MESSAGES, COMPLETIONS), before)


def test_examples_that_do_not_fit_are_refused(tiny_policy, made) -> None:
    with pytest.raises(RewardModelError, match="there is no example to train on"):
        train_reward_model(made, [])
    with pytest.raises(RewardModelError, match="'outcome' is trained on Outcome, got a Pair"):
        train_reward_model(made, [*OUTCOMES, PAIRS[0]])
    made.kind = "foreign"
    with pytest.raises(RewardModelError, match="kind 'foreign': what its number means"):
        train_reward_model(made, OUTCOMES)
    made.kind = "outcome"
    with pytest.raises(RewardModelError, match="the loss is nan. Lower learning_rate"):
        train_reward_model(made, OUTCOMES, RewardTraining(learning_rate=float("inf"), batch_size=4))
