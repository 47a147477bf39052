"""measure_kl: with beta=0 the KL is measured where that needs no second copy of a big model, and
nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import digits_reward

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run

SMALL = dict(
    beta=0.0,
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=2,
    max_completion_length=12,
    max_steps=3,
    eval_steps=0,
    num_eval_problems=4,
    save_steps=1,
    learning_rate=1e-3,
    lr_scheduler_type="constant",
)


def half_dead(completions, prompts, **columns) -> list[float]:
    """Every other group gets equal rewards, the others never do, whatever the policy says."""
    return [float(i % 3) if i % 8 < 4 else 0.0 for i in range(len(completions))]


def start(out: Path, name="embedded", rewards=digits_reward, **changes) -> Trainer:
    config = GRPOConfig(**(SMALL | changes))
    return start_run(
        out,
        policy=load_policy(name, lora=config.lora_rank or None, seed=0),
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(rewards),
        config=config,
        resume=out.exists(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("changes", [dict(), dict(lora_rank=4)], ids=["whole", "adapter"])
def test_measuring_changes_nothing_else(tmp_path: Path, changes: dict) -> None:
    """Rewards, losses and weights are the same to the bit, with dead groups among the rows."""
    measuring = start(tmp_path / "a", rewards=half_dead, **changes)
    plain = start(tmp_path / "b", rewards=half_dead, measure_kl=False, **changes)
    for _ in range(3):
        a, b = measuring.step(), plain.step()
        for name in ("reward", "loss", "grad_norm"):
            assert a.metrics[name] == b.metrics[name]
        np.testing.assert_array_equal(a.samples.rewards_BK, b.samples.rewards_BK)
        assert "kl" not in b.metrics
        assert b.metrics["sequences"] < a.metrics["sequences"] == 16
    assert a.metrics["kl"] > 0
    for mine, other in zip(
        measuring.policy.trainable_parameters(), plain.policy.trainable_parameters(), strict=True
    ):
        assert torch.equal(mine, other)


def test_the_measured_kl_is_the_mean_over_all_tokens(tmp_path: Path) -> None:
    """Those of the dead groups, which have no gradient, included."""
    trainer = start(tmp_path / "run", rewards=half_dead, use_bias_correction_kl=False)
    trainer.step()
    step = trainer.step()
    assert 0 < step.samples.dead_N.sum() < 4
    d = step.tokens.floats["ref_logp"].astype(float) - step.tokens.floats["logp"]
    assert np.isfinite(d).all()
    assert step.metrics["kl"] == pytest.approx((np.exp(d) - d - 1).mean(), rel=1e-4)


def test_a_big_policy_trained_whole_is_not_copied(tmp_path: Path, tiny_folder: Path) -> None:
    trainer = start(tmp_path / "run", tiny_folder)
    assert trainer.reference is None
    assert "kl" not in trainer.step().metrics


@pytest.mark.slow
@pytest.mark.parametrize("changes", [dict(), dict(lora_rank=4)], ids=["whole", "adapter"])
def test_a_resumed_run_measures_to_the_same_reference(tmp_path: Path, changes: dict) -> None:
    through = start(tmp_path / "a", **changes)
    measured = [through.step().metrics["kl"] for _ in range(3)]
    first = start(tmp_path / "b", **changes)
    assert [first.step().metrics["kl"] for _ in range(2)] == measured[:2]
    first.run.close()
    assert start(tmp_path / "b", **changes).step().metrics["kl"] == measured[2]


def test_switched_on_in_mid_run_it_measures_to_the_first_policy(tmp_path: Path) -> None:
    through = start(tmp_path / "a")
    late = start(tmp_path / "b", measure_kl=False)
    for _ in range(2):
        through.step()
        late.step()
    late.knobs.set(measure_kl=True)
    assert late.step().metrics["kl"] == through.step().metrics["kl"] > 0


def test_what_the_config_knows_of_it() -> None:
    assert GRPOConfig(beta=0.01, measure_kl=False).asks_reference
    assert GRPOConfig(beta=0.0, lora_rank=8).asks_reference
    assert not GRPOConfig(beta=0.0, lora_rank=8, measure_kl=False).asks_reference
    assert not GRPOConfig(beta=0.0).asks_reference
    assert "one pass of the reference per step" in GRPOConfig.describe("measure_kl")
