"""The course of the learning rate."""

from __future__ import annotations

import math

from workbench.config import GRPOConfig


def learning_rate_at(step: int, config: GRPOConfig) -> float:
    """The learning rate of `step` (1 is the first): warm-up, then constant, linear to 0 or half a
    cosine to 0.

    A pure function of step and config, so a resumed run and a moved knob need no scheduler state.
    """
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    left = max(config.max_steps - config.warmup_steps, 1)
    done = min((step - 1 - config.warmup_steps) / left, 1.0)
    factors = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return config.learning_rate * factors[config.lr_scheduler_type]
