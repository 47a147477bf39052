"""Rewards that are wrong on purpose: what does noise in the reward do to a training?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from workbench.rewards.batch import RewardFunction
from workbench.rewards.parameters import check
from workbench.rewards.verdicts import AsksAnother

_NOISE_STREAM = 5
"""Keeps these draws apart from others made from the same seed."""


@dataclass(frozen=True)
class Noisy(AsksAnother):
    """A reward of 0 and 1, turned into its opposite with probability `p`; None stays None.

    Whether row i of a step is flipped depends on `seed`, the step and i alone, so that a resumed
    run is flipped as the uninterrupted one. The expected distance of a reward from its
    group's mean is the true one times 1 - 2p: a p of 1/2 teaches nothing, more the opposite.
    Hackable as the reward within is, and a wrong answer is paid besides, once in 1/p.
    """

    kind: ClassVar[str] = "noisy"

    p: float
    """Probability that a reward is flipped, 0 to 1."""

    seed: int = 0
    """Of the draws."""

    reward: RewardFunction | str = "answer"
    """The reward within; it says 0 or 1."""

    def __post_init__(self) -> None:
        check(0 <= self.p <= 1, self, "p", "0 to 1")
        check(self.seed >= 0, self, "seed", "0 or more")
        super().__post_init__()

    def __call__(
        self, completions: Sequence[Any], trainer_state: Any, **given: Any
    ) -> list[float | None]:
        given |= {"completions": completions, "trainer_state": trainer_state}
        right = self.right(**given)
        key = (_NOISE_STREAM, self.seed, trainer_state.global_step)
        flipped = np.random.default_rng(key).random(len(right)) < self.p
        return [
            None if is_right is None else float(is_right != flip)
            for is_right, flip in zip(right, flipped.tolist(), strict=True)
        ]


def noisy(reward: RewardFunction | str, p: float, seed: int = 0) -> Noisy:
    """`reward`, whose 0 and 1 change places with probability `p`: see `Noisy`."""
    return Noisy(p, seed, reward)
