"""Tiny runs for the tests of the trainer and the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import digits_reward

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run
from workbench.training.session import Session

SMALL = dict(
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=2,
    lr_scheduler_type="constant",
    max_completion_length=8,
    max_steps=6,
    eval_steps=3,
    save_steps=2,
    num_eval_problems=8,
    learning_rate=1e-3,
)


SESSION = SMALL | dict(max_steps=8, eval_steps=4, save_steps=3, save_total_limit=2)


@pytest.fixture
def make_trainer(tiny_folder: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """A function that starts (or resumes) a small run in a folder under `tmp_path`."""

    def make(
        out: str = "run", *, rewards=digits_reward, resume: bool = False, **changes
    ) -> Trainer:
        config = GRPOConfig(**(SMALL | changes))
        policy = load_policy(tiny_folder, lora=config.lora_rank or None, seed=config.seed)
        return start_run(
            tmp_path / out,
            policy=policy,
            task=arithmetic_task(config.seed, 64, 16),
            rewards=RewardSet(rewards),
            config=config,
            resume=resume,
        )

    return make


@pytest.fixture
def make_session(tiny_folder: Path, tmp_path: Path) -> Callable[..., Session]:
    """A function that makes (or resumes) the session of a small run under `tmp_path`."""

    def make(
        out: str = "run", *, rewards=digits_reward, resume: bool = False, **changes
    ) -> Session:
        config = GRPOConfig(**(SESSION | changes))
        return Session(
            load_policy(tiny_folder),
            arithmetic_task(0, 64, 16),
            RewardSet(rewards),
            config,
            out=tmp_path / out,
            resume=resume,
        )

    return make
