"""Dynamic sampling: draw other prompts in the place of dead groups, until each group teaches
something.

Source: DAPO (arXiv 2503.14476) section 3.2, which samples on until the batch is full of prompts
that are neither always nor never solved. Deviations: what counts is a group without spread,
whatever its rewards are; the number of rounds is bounded (`max_resample`), and what is dead after
the last one stays in the batch, where it counts in the denominators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.config import GRPOConfig
from workbench.objective import Advantages
from workbench.rewards import RewardTable
from workbench.rollout.merge import with_prompts_replaced
from workbench.rollout.types import Rollout
from workbench.tasks.types import Problem


@dataclass(frozen=True)
class Groups:
    """Prompts with their completions, scored: N groups of G."""

    indices: list[int]
    """Place of each prompt in the task's training split, N."""

    problems: list[Problem]
    """The prompts, N."""

    rollout: Rollout
    """Their completions."""

    completions: list[str]
    """The same as text, B."""

    table: RewardTable
    """Their rewards."""

    def right_NG(self, config: GRPOConfig) -> np.ndarray:
        """bool, which completions count as solved: their total reward is at least
        `curriculum_pass_reward`."""
        total_B = self.table.total_B(config.reward_weights)
        # A completion that nothing scored is NaN, and not solved.
        return (total_B >= config.curriculum_pass_reward).reshape(len(self.indices), -1)

    def with_replaced(self, places: Sequence[int], other: Groups, chosen: Sequence[int]) -> Groups:
        """The same with the groups `chosen` of `other` at these places."""
        indices = list(self.indices)
        problems = list(self.problems)
        for place, i in zip(places, chosen, strict=True):
            indices[place] = other.indices[i]
            problems[place] = other.problems[i]
        rows = rows_of_groups(places, self.rollout.num_generations)
        other_rows = rows_of_groups(chosen, self.rollout.num_generations)
        return Groups(
            indices=indices,
            problems=problems,
            rollout=with_prompts_replaced(self.rollout, places, other.rollout, chosen),
            completions=_replaced(self.completions, rows, other.completions, other_rows),
            table=merged_tables(self.table, rows, other.table, other_rows),
        )


def dead_places(advantages: Advantages) -> list[int]:
    """The groups to draw others for: those in which nothing is compared."""
    places: list[int] = advantages.dead_N.nonzero().flatten().tolist()
    return places


def live_places(advantages: Advantages) -> list[int]:
    """The groups that teach something."""
    places: list[int] = (~advantages.dead_N).nonzero().flatten().tolist()
    return places


def rows_of_groups(groups: Sequence[int], group_size: int) -> list[int]:
    """The rows of these groups, in their order."""
    return [group * group_size + i for group in groups for i in range(group_size)]


def merged_tables(
    table: RewardTable, rows: Sequence[int], other: RewardTable, other_rows: Sequence[int]
) -> RewardTable:
    """The table with some rows from another one. A number that functions logged of all that they
    scored is averaged over both, by completions; a column that only one table has is None in the
    rows of the other."""
    rewards_BK = np.array(table.rewards_BK)
    rewards_BK[list(rows)] = np.asarray(other.rewards_BK)[list(other_rows)]
    extra: dict[str, list[Any]] = {}
    for name in dict.fromkeys([*table.extra, *other.extra]):
        own = table.extra.get(name, [None] * len(rewards_BK))
        others = other.extra.get(name, [None] * len(other.rewards_BK))
        extra[name] = _replaced(own, rows, others, other_rows)
    counts = len(table.rewards_BK), len(other.rewards_BK)
    metrics = _averaged(table.metrics, other.metrics, counts)
    return replace(table, rewards_BK=rewards_BK, extra=extra, metrics=metrics)


def _averaged(
    first: Mapping[str, float], second: Mapping[str, float], counts: tuple[int, int]
) -> dict[str, float]:
    both = {
        name: (first[name] * counts[0] + second[name] * counts[1]) / sum(counts)
        for name in first
        if name in second
    }
    return {**first, **second, **both}


def _replaced(
    values: Sequence[Any], rows: Sequence[int], others: Sequence[Any], other_rows: Sequence[int]
) -> list[Any]:
    result = list(values)
    for row, other in zip(rows, other_rows, strict=True):
        result[row] = others[other]
    return result
