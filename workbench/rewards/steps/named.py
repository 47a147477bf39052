"""From what a user writes to a step-reward function. Only code that the user named is imported."""

from __future__ import annotations

from typing import Any

from workbench.rewards.parameters import RewardSpecError
from workbench.rewards.resolve import MODEL, resolve_reward
from workbench.rewards.steps.arithmetic import arithmetic_steps
from workbench.rewards.steps.checked import StepRewardFunction

STEP_REWARDS: dict[str, Any] = {"arithmetic_steps": arithmetic_steps}
"""The step-reward functions known by name."""


def step_reward_named(spec: str) -> StepRewardFunction:
    """One of `STEP_REWARDS`, "model:FOLDER" (a reward model of kind "process"),
    "package.module:function" or "folder/file.py:function". Raises `RewardSpecError`."""
    if spec in STEP_REWARDS:
        known: StepRewardFunction = STEP_REWARDS[spec]
        return known
    if ":" not in spec:
        raise RewardSpecError(
            f"step_rewards={spec!r} is unknown. Choose one of {', '.join(STEP_REWARDS)}, or name "
            "your own as 'folder/file.py:function', or a reward model as 'model:FOLDER'."
        )
    found: Any = resolve_reward(spec)
    if not spec.startswith(MODEL):
        function: StepRewardFunction = found
        return function
    if found.model.kind != "process":
        raise RewardSpecError(
            f"step_rewards={spec!r} is a reward model of kind {found.model.kind!r}, which scores "
            "whole answers. Train one of kind 'process'."
        )
    steps: StepRewardFunction = found.steps
    return steps
