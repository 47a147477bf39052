"""Settings under which numbers leave all bounds: found before the update that would be lost, with
step and tensor, and a rewind goes on from before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import digits_reward

from workbench.config import ConfigError, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run
from workbench.training.session import SessionError


def test_a_learning_rate_of_a_million_is_refused_before_it_is_used(make_session) -> None:
    session = make_session()
    session.step(1).wait(60)
    with pytest.raises(ConfigError, match="learning_rate=1000000.0"):
        session.set(learning_rate=1e6)
    session.step(1).wait(60)
    assert session.run.steps()["learning_rate"].tolist() == [1e-3, 1e-3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_weights_that_are_lost_stop_the_step_and_a_rewind_brings_them_back(
    make_session, bad: float
) -> None:
    session = make_session("hurt", max_steps=4, save_steps=1)
    session.step(2).wait(60)
    with torch.no_grad():
        session.trainer.policy.model.model.layers[1].mlp.down_proj.weight[0] = bad
    with pytest.raises(SessionError, match=r"at step 2: \w*NotFiniteError.*") as e:
        session.step(1).wait(60)
    assert "completion" in str(e.value)
    assert "group" in str(e.value) or "token" in str(e.value)
    assert session.run.last_step() == 2
    session.rewind(1).wait(60)
    session.step(3).wait(60)
    sound = make_session("sound", max_steps=4, save_steps=1).start().wait(60)
    assert session.run.steps()["loss"].tolist() == sound.run.steps()["loss"].tolist()


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 10.0])
def test_an_extreme_temperature_trains_with_finite_numbers_or_says_why_not(
    make_trainer, temperature: float
) -> None:
    trainer = make_trainer(temperature=temperature)
    try:
        found = [trainer.step().metrics for _ in range(2)]
    except WorkbenchError as error:
        assert "temperature" in str(error)
        return
    for metrics in found:
        wrong = {name: value for name, value in metrics.items() if abs(value) == float("inf")}
        assert wrong == {}


def test_more_rows_than_tokens_and_no_end_token_train(tiny_folder: Path, tmp_path: Path) -> None:
    """A vocabulary padded beyond the tokenizer, as Qwen's is, and an end token that never comes."""
    policy = load_policy(tiny_folder)
    policy.model.resize_token_embeddings(len(policy.tokenizer) + 64)
    with torch.no_grad():
        policy.model.lm_head.weight[list(policy.eos_token_ids)] = 0
        policy.model.lm_head.weight[len(policy.tokenizer) :] *= 5
    config = GRPOConfig(
        prompts_per_step=2,
        num_generations=4,
        updates_per_rollout=1,
        max_completion_length=6,
        max_steps=2,
        eval_steps=0,
        num_eval_problems=4,
    )
    trainer = start_run(
        tmp_path / "run",
        policy=policy,
        task=arithmetic_task(0, 16, 8),
        rewards=RewardSet(digits_reward),
        config=config,
    )
    found = trainer.step()
    assert found.metrics["completion_length"] <= 6
    assert Run.open(tmp_path / "run").samples(1)["truncated"].any()
