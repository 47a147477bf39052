"""What `fork_here` found: continuations of a recorded completion from one of its tokens on. Needs
no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Continuation:
    """One way to go on from a token."""

    ids: tuple[int, ...]
    """Its tokens, from the forked one on; the end token included."""

    pieces: tuple[str, ...]
    """Their texts."""

    logp_T: np.ndarray
    """Log-probability of each under the policy that was asked, in nats, at the run's temperature,
    over the whole vocabulary (before top-k and top-p)."""

    completion: str
    """The whole completion, as the reward functions read it."""

    truncated: bool
    """No end token came before `max_completion_length`."""

    rewards: Mapping[str, float]
    """Of each reward function; NaN where it said nothing."""

    reward: float
    """Their weighted sum; NaN where none said anything."""

    @property
    def logp(self) -> float:
        """Log-probability of the whole continuation, given all that stands before it."""
        return float(self.logp_T.sum())

    @property
    def probability(self) -> float:
        """The same as a probability."""
        return float(np.exp(self.logp))


@dataclass(frozen=True)
class Continuations:
    """What the policy of now writes from one token of the record on."""

    step: int
    row: int
    token: int
    """The position that was forked: it is drawn anew, and those before it stay."""

    temperature: float
    seed: int

    policy_step: int | None
    """The policy is the one after this step of the run; None for a policy that was given."""

    sampled: tuple[Continuation, ...]
    """As they were drawn; equal ones are there as often as they came."""

    recorded: Continuation
    """What the record has from there on, with its probability under the policy of now and its
    recorded rewards."""

    not_scored: str = ""
    """Why the rewards are missing; '' where they are there."""

    @property
    def mass(self) -> float:
        """The probability of all different continuations that were sampled, together."""
        distinct = {one.ids: one.probability for one in self.sampled}
        return float(sum(distinct.values()))
