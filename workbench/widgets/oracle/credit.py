"""V, credit and GRPO's advantage along one completion, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.widgets.oracle.snapshots import Array, Snapshots, values_along

STD_FLOOR = 1e-4
"""Added to the std before it divides, as in `workbench.objective`."""
DECISIONS = 3
"""Tokens of which the alternatives are shown: those whose credit is farthest from 0,"""
LEAST_SHARE = 0.02
"""and holds at least this share of all steps up and down."""
NOISE = 1e-6
"""A credit below it is rounding."""


@dataclass(frozen=True)
class Decided:
    """One completion of T tokens at one moment."""

    value_T1: Array
    """V before each token and after the last, (T + 1,): the first is J, the last the reward."""

    advantage: float
    """What GRPO pays each token of it in a group without end: (r − J) / (std + 0.0001)."""

    credit_T: Array
    """Q − V of each token; they add up to r − J."""

    @property
    def strongest(self) -> list[int]:
        """The tokens that decided, the strongest first: those with the largest steps of V, as far
        as they hold a share worth naming."""
        size_T = np.abs(self.credit_T)
        order = np.argsort(-size_T, kind="stable")[:DECISIONS]
        least = max(LEAST_SHARE * float(size_T.sum()), NOISE)
        return [int(t) for t in order if size_T[t] > least]


def decided(snapshots: Snapshots, completion: int, moment: int | str = 0) -> Decided:
    """V, credit and advantage along a completion. Raises ValueError for one that has no probability
    at that moment."""
    place = snapshots.moment(moment)
    if snapshots.probability_SC[place, completion] == 0:
        raise ValueError(
            f"completion {completion} has no probability at {snapshots.moments[place]!r} that "
            "was worth counting. Choose another moment or completion."
        )
    value_T1 = values_along(snapshots, completion, place)
    reward = float(snapshots.reward_C[completion])
    spread = float(snapshots.spread_S[place])
    advantage = (reward - float(snapshots.reward_S[place])) / (spread + STD_FLOOR)
    return Decided(value_T1, advantage, np.diff(value_T1))
