"""The settings that make an advantage, and the checks of settings and rewards.

Suffixes: B completions, N groups (prompts), G completions of a group, K reward functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workbench.config.advantages import ESTIMATORS, estimator_problems
from workbench.objective.baselines import BASELINES, GROUP_BASELINES

CORRECTIONS = {"sample": 1, "population": 0}
"""advantage_std -> what is subtracted from the number of squares before it divides them."""


class AdvantageConfig(Protocol):
    """The settings that make an advantage; a `GRPOConfig` has them, and so has an
    `AdvantageRule`."""

    @property
    def num_generations(self) -> int: ...
    @property
    def scale_rewards(self) -> str: ...
    @property
    def advantage_baseline(self) -> str: ...
    @property
    def advantage_std(self) -> str: ...
    @property
    def multi_objective_aggregation(self) -> str: ...
    @property
    def reward_weights(self) -> Sequence[float] | None: ...
    @property
    def advantage_estimator(self) -> str: ...
    @property
    def advantage_k(self) -> int: ...


@dataclass(frozen=True)
class AdvantageRule:
    """Those settings alone, by the names and with the defaults of `GRPOConfig`."""

    num_generations: int
    scale_rewards: str = "group"
    advantage_baseline: str = "group"
    advantage_std: str = "sample"
    multi_objective_aggregation: str = "sum_then_normalize"
    reward_weights: Sequence[float] | None = None
    advantage_estimator: str = "baseline"
    advantage_k: int = 4


def check_choices(config: AdvantageConfig) -> None:
    """Raises ValueError for a name that no table holds."""
    choices = {
        "scale_rewards": ("group", "batch", "none"),
        "advantage_baseline": tuple(BASELINES),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
        "advantage_std": tuple(CORRECTIONS),
        "advantage_estimator": tuple(ESTIMATORS),
    }
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is unknown. Choose one of {', '.join(allowed)}.")
    problems = estimator_problems(config)
    if problems:
        raise ValueError(problems[0])


def grouped_rewards(rewards: Tensor, config: AdvantageConfig) -> Tensor:
    """The rewards, (N, G, K). Raises ValueError where they cannot be grouped."""
    if rewards.dim() not in (1, 2) or rewards.numel() == 0:
        raise ValueError(
            f"rewards must be (B,) or (B, K) and not empty, got shape {tuple(rewards.shape)}."
        )
    reward_BK = rewards.detach().reshape(len(rewards), -1)
    if not reward_BK.is_floating_point():
        reward_BK = reward_BK.to(torch.get_default_dtype())
    group_size = config.num_generations
    if group_size < 1 or len(reward_BK) % group_size:
        raise ValueError(
            f"{len(reward_BK)} rewards cannot be split into groups of "
            f"num_generations={group_size}: the number of completions must be a multiple of it, "
            "the completions of one prompt side by side."
        )
    if group_size < 2 and config.advantage_baseline in GROUP_BASELINES:
        raise ValueError(
            f"num_generations={group_size} with advantage_baseline={config.advantage_baseline!r}: "
            "a group of one has nothing to be compared with. Use 2 or more, or "
            "advantage_baseline='batch' or 'none'."
        )
    if reward_BK.isinf().any():
        row, column = reward_BK.isinf().nonzero()[0].tolist()
        raise ValueError(
            f"the reward of completion {row} by function {column} is "
            f"{reward_BK[row, column].item()}: rewards must be finite, or NaN for 'not scored'. "
            "Bound that reward function."
        )
    return reward_BK.reshape(-1, group_size, reward_BK.shape[1])


def checked_weights(weights: Sequence[float] | None, reward_NGK: Tensor) -> Tensor:
    """One weight for each function, (K,). Raises ValueError."""
    functions = reward_NGK.shape[2]
    if weights is None:
        return reward_NGK.new_ones(functions)
    weight_K = torch.as_tensor(weights, dtype=reward_NGK.dtype, device=reward_NGK.device)
    if weight_K.shape != (functions,):
        raise ValueError(
            f"{functions} reward functions need as many weights, got shape {tuple(weight_K.shape)}."
        )
    if not weight_K.isfinite().all():
        raise ValueError(f"weights={weight_K.tolist()}: every weight must be finite.")
    return weight_K
