"""Which problems to draw more often: those whose groups are likely to be alive, by how often each
was solved so far.

A group of G completions with a binary reward teaches nothing where all are right or all are wrong;
with a pass rate p it is alive with probability 1 - p^G - (1 - p)^G. Drawing by that is the limit of
DAPO's dynamic sampling (arXiv 2503.14476) without the completions that it throws away. Pure
functions of counts that the trainer keeps: a resumed run draws what it would have drawn.

Suffix: P problems of the training split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_CURRICULUM_STREAM = 4
"""Keeps these draws apart from the other random numbers that a seed makes."""


@dataclass(frozen=True)
class PassRates:
    """How often each problem was tried, and solved, since the run began."""

    solved_P: np.ndarray
    """float64, completions that were right."""

    tried_P: np.ndarray
    """float64, completions."""

    @classmethod
    def none_yet(cls, problems: int) -> PassRates:
        """Before the first completion."""
        return cls(np.zeros(problems), np.zeros(problems))

    def after(self, indices: Sequence[int], right_NG: np.ndarray) -> PassRates:
        """With the completions of these problems counted in; a problem may stand there twice."""
        solved_P = self.solved_P.copy()
        tried_P = self.tried_P.copy()
        np.add.at(solved_P, list(indices), right_NG.sum(1))
        np.add.at(tried_P, list(indices), right_NG.shape[1])
        return PassRates(solved_P, tried_P)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint."""
        return {"solved": self.solved_P, "tried": self.tried_P}

    @property
    def rate_P(self) -> np.ndarray:
        """The pass rate of each: one right and one wrong answer are added to what was counted, so
        that a problem which was never tried has 1/2, and none is ever certain."""
        rate_P: np.ndarray = (self.solved_P + 1) / (self.tried_P + 2)
        return rate_P

    def draw(self, cursor: int, n: int, config: Any) -> list[int]:
        """`n` problems from this place on, by what was counted."""
        group_size = config.num_generations
        weight_P = sampling_weights(self.rate_P, group_size, config.curriculum_floor)
        return draw_by_weight(weight_P, cursor, n, config.seed)


def alive_chance(rate_P: np.ndarray, group_size: int) -> np.ndarray:
    """The probability that a group has both right and wrong answers: 1 - p^G - (1 - p)^G."""
    chance_P: np.ndarray = 1 - rate_P**group_size - (1 - rate_P) ** group_size
    return chance_P


def sampling_weights(rate_P: np.ndarray, group_size: int, floor: float) -> np.ndarray:
    """How much each problem is drawn: `floor` + (1 - floor) x the chance that its group is alive.
    With a floor above 0 none is forgotten, and one that the policy has unlearnt is found."""
    weight_P: np.ndarray = floor + (1 - floor) * alive_chance(rate_P, group_size)
    return weight_P


def draw_by_weight(weight_P: np.ndarray, cursor: int, n: int, seed: int) -> list[int]:
    """`n` problems by weight, none twice before all have been drawn; a pure function of its
    arguments. Raises ValueError for weights that are not above 0.

    `cursor` is the number of problems drawn before: each place of it is another draw.
    """
    if not (weight_P > 0).all():
        raise ValueError(
            f"the weight of problem {int(np.argmin(weight_P))} is {weight_P.min():g}: every weight "
            "must be above 0."
        )
    generator = np.random.default_rng((_CURRICULUM_STREAM, seed, cursor))
    drawn: list[int] = []
    while len(drawn) < n:
        # The largest of log w + Gumbel noise is a draw by weight, the next ones without putting
        # back.
        key_P = np.log(weight_P) + generator.gumbel(size=len(weight_P))
        order_P = np.argsort(-key_P, kind="stable")
        drawn += order_P[: n - len(drawn)].tolist()
    return drawn
