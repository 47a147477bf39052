"""What the rewards and the advantage rule make of a group, before and after an edit. No widget."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.rewards import RewardSet, RewardWarning
from workbench.rewards.batch import RewardFunction
from workbench.rewards.functions import as_messages
from workbench.tasks import columns_of
from workbench.widgets.reward_lab.groups import LabGroup, LabStep

Encode = Callable[[str], Sequence[int]]
"""Text to token ids."""


@dataclass(frozen=True)
class Paid:
    """One group under the rewards."""

    rewards_GK: np.ndarray
    """NaN = not scored by that function."""
    total_G: np.ndarray
    advantage_G: np.ndarray
    dead: bool
    """True where nothing is compared: all totals are equal."""


@dataclass(frozen=True)
class Scorer:
    """Reward functions with what they are called with."""

    rewards: RewardSet
    weights: tuple[float, ...]
    encode: Encode
    timeout: float | None
    """Seconds that the functions may take for one group."""

    @property
    def names(self) -> tuple[str, ...]:
        """The K names."""
        return self.rewards.names

    def rewards_of(self, groups: Sequence[LabGroup]) -> np.ndarray:
        """(B, K), as a training would score these groups together. Raises `RewardError`."""
        problems = [group.problem for group in groups for _ in group.texts]
        texts = [text for group in groups for text in group.texts]
        with warnings.catch_warnings():
            # What was not scored stands in the table.
            warnings.simplefilter("ignore", RewardWarning)
            table = self.rewards.score(
                prompts=[group.messages for group in groups for _ in group.texts],
                completions=as_messages(texts),
                completion_ids=[list(self.encode(travelling(text))) for text in texts],
                columns=columns_of(problems),
                step=1,
                timeout=self.timeout,
            )
        return table.rewards_BK.astype(float)


@dataclass(frozen=True)
class Bench:
    """One group of a step under one set of rewards: what it was paid, and would be."""

    scorer: Scorer
    step: LabStep
    place: int
    """Which of the step's groups."""
    before_BK: np.ndarray
    """Of all groups where the rule compares with other groups, else of this one."""
    before: Paid

    @classmethod
    def of(cls, scorer: Scorer, step: LabStep, place: int) -> Bench:
        """Score the group as it is. Raises `RewardError`."""
        groups = step.groups if compares_groups(step) else [step.groups[place]]
        before_BK = scorer.rewards_of(groups)
        first = place * len(step.groups[place].texts) if compares_groups(step) else 0
        return cls(scorer, step, place, before_BK, _paid(scorer, step, place, before_BK, first))

    @property
    def group(self) -> LabGroup:
        """The group as it was."""
        return self.step.groups[self.place]

    def edited(self, row: int, text: str) -> Paid:
        """With another text in place of completion `row`. Raises `RewardError`."""
        texts = list(self.group.texts)
        if texts[row] == text:
            return self.before
        texts[row] = text
        after_BK = self.before_BK.copy()
        size = len(texts)
        first = self.place * size if compares_groups(self.step) else 0
        changed = replace(self.group, texts=tuple(texts))
        # The whole group: a reward may look at what else was answered.
        after_BK[first : first + size] = self.scorer.rewards_of([changed])
        return _paid(self.scorer, self.step, self.place, after_BK, first)


def compares_groups(step: LabStep) -> bool:
    """True where an advantage looks at other groups of the step too."""
    rule = step.settings
    return (
        rule.get("scale_rewards") == "batch"
        or rule.get("advantage_baseline") == "batch"
        or rule.get("multi_objective_aggregation") == "normalize_then_sum"
    )


def _paid(scorer: Scorer, step: LabStep, place: int, rewards_BK: np.ndarray, first: int) -> Paid:
    import torch

    from workbench.objective import AdvantageRule, group_advantages

    size = len(step.groups[place].texts)
    rule = AdvantageRule(size, reward_weights=scorer.weights, **step.settings)
    found = group_advantages(torch.from_numpy(rewards_BK), rule)
    mine = slice(first, first + size)
    return Paid(
        rewards_GK=rewards_BK[mine],
        total_G=found.total_B[mine].numpy(),
        advantage_G=found.advantage_B[mine].numpy(),
        dead=bool(found.dead_N[first // size]),
    )


def travelling(text: str) -> str:
    """`text` as a page or a tokenizer takes it: a lone surrogate, which no encoding has, becomes a
    question mark."""
    return text.encode("utf-8", "replace").decode()


def asks_for_ids(function: RewardFunction) -> bool:
    """True where a function names `completion_ids` among its parameters."""
    return "completion_ids" in inspect.signature(function).parameters
