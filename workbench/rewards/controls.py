"""Controls: reward sets that must not teach anything. A run that improves under one has a leak
somewhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from workbench.rewards.score import RewardSet, RewardTable

_SHUFFLE_STREAM = 3
CONTROL = "shuffled_"
"""What the name of a reward begins with that was dealt out at random on purpose."""


def is_control(name: str) -> bool:
    """Whether a recorded reward of this name says nothing of the completion that it stands at."""
    return name.startswith(CONTROL)


class ShuffledRewards:
    """A reward set whose rewards are dealt to the wrong completions: same values, same functions,
    no information.

    The rows are permuted across the whole batch, those of several functions together, by a
    permutation that depends on
    `seed` and `step` alone, so that a resumed control run equals the uninterrupted one.
    """

    def __init__(self, rewards: RewardSet, seed: int = 0) -> None:
        self.rewards = rewards
        self.seed = seed
        self.functions = rewards.functions
        self.weights = rewards.weights
        self.names = tuple(f"{CONTROL}{name}" for name in rewards.names)
        """Names of their own, so that a record shows the control and a resume without it is
        refused."""

    def score(self, prompts: Any, completions: Any, *, step: int, **given: Any) -> RewardTable:
        """As `RewardSet.score`, shuffled. What the functions logged per completion stays with its
        completion."""
        table = self.rewards.score(prompts, completions, step=step, **given)
        order_B = np.random.default_rng((_SHUFFLE_STREAM, self.seed, step)).permutation(
            len(table.rewards_BK)
        )
        return replace(table, rewards_BK=table.rewards_BK[order_B], names=self.names)


def shuffled(rewards: RewardSet, seed: int = 0) -> ShuffledRewards:
    """The control of `rewards` in which nothing can be learned."""
    return ShuffledRewards(rewards, seed)


Rewards = RewardSet | ShuffledRewards
"""What a run is rewarded by."""
