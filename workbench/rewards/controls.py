"""Controls: reward sets that must not teach anything. A run that improves under one has a leak
somewhere else, or was lucky.

    shuffled   the run's own rewards, dealt to the wrong completions: the same values, so the same
               spread within groups and the same sizes of advantages
    random     a fair coin for each completion, whatever it says ("random rewards" of Spurious
               Rewards, arXiv 2506.10947, section 2, with gamma = 1/2)

To add one: its class here, descended from `ControlRewards`, its row in `CONTROLS`, and how its
names begin in `CONTROL_PREFIXES` (workbench/runs/control.py).
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from workbench.rewards.score import RewardSet, RewardTable
from workbench.runs.control import CONTROL_PREFIXES

_SHUFFLE_STREAM = 3
_RANDOM_STREAM = 5
CHANCE = 0.5
"""Of a random reward to be 1."""


class ControlRewards:
    """A reward set that says nothing about the completions. What it gives depends on `seed` and
    the step alone (and on what is scored), so that a resumed control run equals the uninterrupted
    one."""

    kind: ClassVar[str]
    """Its key in `CONTROLS`."""

    prefix: ClassVar[str]
    """What its functions' names begin with in a record."""

    words: ClassVar[str]
    """What it does, in a few words."""

    def __init__(self, rewards: RewardSet, seed: int = 0) -> None:
        self.rewards = rewards
        self.seed = seed
        self.functions = rewards.functions
        self.weights = rewards.weights
        self.names = tuple(f"{self.prefix}{name}" for name in rewards.names)
        """Names of their own, so that a record shows the control and a resume without it is
        refused."""

    def score(self, prompts: Any, completions: Any, *, step: int, **given: Any) -> RewardTable:
        """As `RewardSet.score`, without its information. What the functions logged per completion
        stays with its completion."""
        raise NotImplementedError


class ShuffledRewards(ControlRewards):
    """Rewards dealt to the wrong completions: same values, same functions, no information.

    The rows are permuted across the whole batch, those of several functions together.
    """

    kind = "shuffled"
    prefix = CONTROL_PREFIXES[kind]
    words = "the rewards are dealt out at random"

    def score(self, prompts: Any, completions: Any, *, step: int, **given: Any) -> RewardTable:
        """As `RewardSet.score`, shuffled."""
        table = self.rewards.score(prompts, completions, step=step, **given)
        order_B = np.random.default_rng((_SHUFFLE_STREAM, self.seed, step)).permutation(
            len(table.rewards_BK)
        )
        return replace(table, rewards_BK=table.rewards_BK[order_B], names=self.names)


class RandomRewards(ControlRewards):
    """Rewards drawn, not permuted: each function pays each completion 1 or 0 by a fair coin.

    Beside the shuffled control it shows what the *sizes* of the true rewards do by themselves: here
    even a group whose answers are all equal is not dead. The functions are asked all the same, for
    what they log and for what they cannot score (NaN stays NaN), so that a step takes as long as a
    true one.
    """

    kind = "random"
    # Not "random_": a reward function of one's own may well be called so.
    prefix = CONTROL_PREFIXES[kind]
    words = "each reward is a coin's throw"

    def score(self, prompts: Any, completions: Any, *, step: int, **given: Any) -> RewardTable:
        """As `RewardSet.score`, with coins for values."""
        table = self.rewards.score(prompts, completions, step=step, **given)
        # The texts are part of the seed: with dynamic sampling a step is scored in several parts,
        # and a group drawn anew must not get the coins of the one that it replaces.
        texts = zlib.crc32(repr((list(prompts), list(completions))).encode("utf-8", "replace"))
        draw = np.random.default_rng((_RANDOM_STREAM, self.seed, step, texts))
        coins_BK = (draw.random(table.rewards_BK.shape) < CHANCE).astype(np.float32)
        coins_BK[np.isnan(table.rewards_BK)] = np.nan
        return replace(table, rewards_BK=coins_BK, names=self.names)


CONTROLS: dict[str, type[ControlRewards]] = {
    control.kind: control for control in (ShuffledRewards, RandomRewards)
}
"""Name -> control."""


def shuffled(rewards: RewardSet, seed: int = 0) -> ShuffledRewards:
    """The control of `rewards` in which nothing can be learned: the same rewards, dealt at
    random."""
    return ShuffledRewards(rewards, seed)


def random_rewards(rewards: RewardSet, seed: int = 0) -> RandomRewards:
    """The control of `rewards` in which nothing can be learned: a coin's throw for each."""
    return RandomRewards(rewards, seed)


Rewards = RewardSet | ControlRewards
"""What a run is rewarded by."""
