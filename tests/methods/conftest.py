"""A step of each method on a tiny model, with one update, so that its gradient can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import digits_reward

from workbench.config import METHODS, GRPOConfig
from workbench.policy import load_policy
from workbench.policy.save import save_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run

SMALL: dict[str, Any] = dict(
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=1,
    lr_scheduler_type="constant",
    max_completion_length=8,
    max_steps=4,
    eval_steps=0,
    save_steps=2,
    num_eval_problems=4,
    learning_rate=1e-3,
)
OWN_STEPS = Path(__file__).parent / "own_steps.py"
SOLUTIONS_FIT = dict(max_completion_length=48)


def graded(completions: Sequence[Any], **columns: Any) -> list[float]:
    """Full marks for an even number of characters, else by the digits: some are accepted."""
    return [
        1.0 if len(c[0]["content"]) % 2 == 0 else part
        for c, part in zip(completions, digits_reward(completions, **columns), strict=True)
    ]


@pytest.fixture
def make_method(tiny_folder: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """A function that starts (or resumes) a small run with a method."""

    def make(
        method: str,
        out: str = "run",
        *,
        rewards: Any = graded,
        resume: bool = False,
        double: bool = False,
        **changes: Any,
    ) -> Trainer:
        values = SMALL | (SOLUTIONS_FIT if method == "sft" else {})
        if method == "distill":
            values = values | {"teacher": str(teacher_folder(tiny_folder, tmp_path))}
        own = {"step_rewards": f"{OWN_STEPS}:halves"} if method == "process_grpo" else {}
        fixed = METHODS[method].settings | own
        config = GRPOConfig(**(values | fixed | {"method": method} | changes))
        policy = load_policy(tiny_folder, lora=config.lora_rank or None, seed=0)
        if double:
            policy.model.double()
        return start_run(
            tmp_path / out,
            policy=policy,
            task=arithmetic_task(config.seed, 64, 16),
            rewards=RewardSet(rewards),
            config=config,
            resume=resume,
        )

    return make


def teacher_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny policy with other weights."""
    folder = tmp_path / "teacher"
    if not folder.exists():
        teacher = load_policy(tiny_folder)
        torch.manual_seed(7)
        with torch.no_grad():
            for parameter in teacher.trainable_parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        save_policy(teacher, folder)
    return folder
