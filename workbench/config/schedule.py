"""The course of the learning rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.config.grpo import GRPOConfig


def learning_rate_at(step: int, config: GRPOConfig) -> float:
    """The policy's learning rate in `step` (1 is the first): warm-up, then constant, linear to 0 or
    half a cosine to 0.

    A pure function of step and config, so a resumed run and a moved knob need no scheduler state.
    """
    return _scheduled(config.learning_rate, step, config)


def critic_learning_rate_at(step: int, config: GRPOConfig) -> float:
    """The critic's, which takes the same course (as where one optimizer has both, TRL's PPO)."""
    return _scheduled(config.critic_learning_rate, step, config)


def _scheduled(rate: float, step: int, config: GRPOConfig) -> float:
    if step <= config.warmup_steps:
        return rate * step / config.warmup_steps
    left = max(config.max_steps - config.warmup_steps, 1)
    done = min((step - 1 - config.warmup_steps) / left, 1.0)
    factors = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return rate * factors[config.lr_scheduler_type]
