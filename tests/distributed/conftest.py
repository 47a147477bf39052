"""Small runs in one process and in two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import digits_reward

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run

SMALL = dict(
    prompts_per_step=6,
    num_generations=4,
    updates_per_rollout=2,
    max_completion_length=8,
    max_steps=4,
    eval_steps=0,
    save_steps=1,
    num_eval_problems=5,
    learning_rate=5e-5,
)


@pytest.fixture
def make(tiny_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Trainer]]:
    """`make(processes, out)` starts a small run; its helpers end with the test."""
    made = []

    def begin(
        processes: int, out: str, rewards=digits_reward, *, resume: bool = False, **changes
    ) -> Trainer:
        config = GRPOConfig(**(SMALL | changes))
        trainer = start_run(
            tmp_path / out,
            policy=load_policy(tiny_folder, config=config),
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(rewards),
            config=config,
            resume=resume,
            processes=processes,
        )
        made.append(trainer)
        return trainer

    yield begin
    for trainer in made:
        trainer.engine.free()
