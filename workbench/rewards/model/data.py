"""What a reward model learns from: completions with what a gold reward says of them, as pairs, as
labels of outcomes, or as labels of steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Message = dict[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class GoldScored:
    """A completion that a policy sampled, and what the gold reward gave it."""

    problem: str
    """The question: what examples are grouped and split by."""
    messages: tuple[Message, ...]
    """The conversation that it answers."""
    completion: str
    """The assistant's whole message."""
    gold: float
    """What the gold reward gave it."""


@dataclass(frozen=True)
class Pair:
    """Two completions of one problem of which the gold reward prefers one."""

    problem: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Outcome:
    """A completion with its label."""

    problem: str
    messages: tuple[Message, ...]
    completion: str
    label: float
    """In [0, 1]: whether it is right, or how likely that is."""


@dataclass(frozen=True)
class StepLabels:
    """A completion with a label for each of its steps."""

    problem: str
    messages: tuple[Message, ...]
    completion: str
    ends: tuple[int, ...]
    """Where the steps end, in characters of the completion."""
    labels: tuple[float, ...]
    """In [0, 1], one a step: the share of roll-ins from there that come out right."""


Example = Pair | Outcome | StepLabels


def pairs_of(scored: Sequence[GoldScored], *, most: int = 4, seed: int = 0) -> list[Pair]:
    """Pairs of completions of one problem with different gold rewards, the better one chosen; at
    most `most` a problem, drawn from all of them with `seed`. Equal texts count once."""
    by_problem: dict[str, dict[str, GoldScored]] = defaultdict(dict)
    for one in scored:
        by_problem[one.problem].setdefault(one.completion, one)
    pairs = []
    for number, answers in enumerate(by_problem.values()):
        known = list(answers.values())
        unequal = [(a, b) for a in known for b in known if a.gold > b.gold]
        # A generator for each problem: a problem more or less leaves the others' pairs as they are.
        order = np.random.default_rng((seed, number)).permutation(len(unequal))[:most]
        for place in sorted(order):
            better, worse = unequal[place]
            pairs.append(Pair(better.problem, better.messages, better.completion, worse.completion))
    return pairs


def outcomes_of(scored: Sequence[GoldScored]) -> list[Outcome]:
    """Each completion with its gold reward as its label. Raises ValueError for one outside
    [0, 1]."""
    for one in scored:
        if not 0 <= one.gold <= 1:
            raise ValueError(
                f"the gold reward of {one.completion!r:.80} is {one.gold:g}: an outcome's label "
                "lies between 0 and 1. Give a gold reward that does, or train on pairs."
            )
    return [Outcome(one.problem, one.messages, one.completion, one.gold) for one in scored]


def replay_mix(old: Sequence[T], new: Sequence[T], share: float = 0.1, seed: int = 0) -> list[T]:
    """The set that a reward model is retrained on: all of `new`, and so much of `old`, drawn
    without putting back, that it makes up `share` of the whole; in a random order.

    DeepSeekMath (arXiv 2402.03300, section 4.1.4) retrains "using a replay mechanism that
    incorporates 10% of historical data"; that this is a tenth of the training set, and not of the
    history, is a reading. Where `old` has fewer, all of it is taken. Raises ValueError for a share
    outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share={share}: must be at least 0 and below 1.")
    rng = np.random.default_rng(seed)
    wanted = round(share / (1 - share) * len(new))
    drawn = rng.permutation(len(old))[:wanted]
    mixed = [*new, *(old[place] for place in sorted(drawn))]
    return [mixed[place] for place in rng.permutation(len(mixed))]
