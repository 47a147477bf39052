"""Algorithm 1 of DeepSeekMath: the reference becomes the policy and the reward model learns on,
each M steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.config import ConfigWarning
from workbench.methods.iterative_grpo import answers_in, as_bytes, examples_of
from workbench.policy import load_policy
from workbench.rewards.model import GoldScored, ModelReward, reward_model_of
from workbench.training import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
RATE = dict(reward_model_learning_rate=1e-3, ref_model_sync_steps=2, beta=0.01)


@pytest.fixture
def make_iterative(
    tiny_folder: Path, make_method: Callable[..., Trainer]
) -> Callable[..., Trainer]:
    """A run whose reward is a reward model of kind "outcome"."""

    def make(out: str, **changes: Any) -> Trainer:
        scorer = ModelReward(reward_model_of(load_policy(tiny_folder), "outcome"), "model")
        return make_method("iterative_grpo", out, rewards=[scorer], **(RATE | changes))

    return make


def scorer_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    state = trainer.method.models[0].model.state_dict()
    return {name: value.clone() for name, value in state.items()}


def test_reference_and_reward_model_move_at_the_end_of_an_iteration_alone(
    make_iterative: Callable[..., Trainer],
) -> None:
    trainer = make_iterative("run")
    first_scorer = scorer_of(trainer)
    first_step = trainer.step()
    assert "reward_model_loss" not in first_step.metrics
    assert all(torch.equal(w, first_scorer[n]) for n, w in scorer_of(trainer).items())
    second_step = trainer.step()
    assert second_step.metrics["reward_model_loss"] > 0
    assert any(not torch.equal(w, first_scorer[n]) for n, w in scorer_of(trainer).items())
    # Line 3: the reference is the policy as it is.
    own = trainer.policy.trainable_state()
    assert all(torch.equal(w, own[n]) for n, w in trainer.reference.weights.items())
    assert len(trainer.method.old) == 32
    assert trainer.method.new == []


def test_a_resumed_iteration_goes_on_bit_for_bit(make_iterative: Callable[..., Trainer]) -> None:
    straight = make_iterative("a", save_steps=1)
    straight.train()
    broken = make_iterative("b", save_steps=1)
    broken.train(steps=3)
    broken.run.close()
    again = make_iterative("b", save_steps=1, resume=True)
    assert len(again.method.new) == 16
    again.train()
    before, after = scorer_of(straight), scorer_of(again)
    assert all(torch.equal(w, after[n]) for n, w in before.items())
    own = again.policy.trainable_state()
    assert all(torch.equal(w, own[n]) for n, w in straight.policy.trainable_state().items())


def test_an_iteration_without_a_pair_leaves_the_reward_model_as_it_is(
    tiny_folder: Path, make_method: Callable[..., Trainer]
) -> None:
    """The tiny policy's answers are all wrong, so that none is better than another."""
    scorer = ModelReward(reward_model_of(load_policy(tiny_folder), "pairs"), "model")
    trainer = make_method("iterative_grpo", rewards=[scorer], **RATE)
    before = scorer_of(trainer)
    trainer.step()
    metrics = trainer.step().metrics
    assert "reward_model_loss" not in metrics
    assert all(torch.equal(w, before[n]) for n, w in scorer_of(trainer).items())


def test_without_a_reward_model_it_says_that_nothing_is_retrained(
    make_method: Callable[..., Trainer],
) -> None:
    with pytest.warns(ConfigWarning, match="nothing is retrained"):
        make_method("iterative_grpo")


def test_answers_survive_a_checkpoint() -> None:
    messages = ({"role": "user", "content": "7 − 3?"},)
    answers = [GoldScored("p", messages, "4 \n\x00</s>", 1.0), GoldScored("p", messages, "5", 0.0)]
    assert answers_in(as_bytes(answers)) == answers
    assert answers_in(as_bytes([])) == []
    with pytest.raises(ValueError, match="'process' cannot be retrained"):
        examples_of("process", answers)
