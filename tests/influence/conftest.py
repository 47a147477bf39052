"""A tiny run in float64. (Its norms compute in float32, so that equal means to about 1e-6.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run

TINY = dict(
    prompts_per_step=3,
    num_generations=3,
    updates_per_rollout=3,
    lr_scheduler_type="constant",
    max_completion_length=6,
    max_steps=8,
    eval_steps=0,
    save_steps=2,
    num_eval_problems=2,
    learning_rate=1e-3,
    weight_decay=0.1,
    # The record is float32: a KL that is 0 in float64 would be 1e-9 from it, and AdamW's first step
    # is as long for either.
    beta=0.0,
)


def first_group_is_dead(completions, **columns) -> list[float]:
    """By the letters, so that hardly two answers are paid alike; but those of the first group
    are."""
    paid = [float(sum(map(ord, c[0]["content"])) % 17) for c in completions]
    return [0.5, 0.5, 0.5, *paid[3:]]


@pytest.fixture
def train(tiny_folder: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """A function that trains a tiny float64 policy for so many steps in a folder."""

    def made(steps: int, out: str = "run", *, rewards=first_group_is_dead, **changes) -> Trainer:
        config = GRPOConfig(**(TINY | changes))
        policy = load_policy(tiny_folder)
        policy.model.double()
        trainer = start_run(
            tmp_path / out,
            policy=policy,
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(rewards),
            config=config,
        )
        trainer.train(steps)
        return trainer

    return made
