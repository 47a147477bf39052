"""The completions of one step by group, and which groups to show in which order. Arrays only, no
widget.

Suffixes: N groups, G completions of each, K reward functions; completion (n, g) is row n x G + g of
the step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
TOTAL = "total reward"
"""The choice beside the reward functions' names for what makes a completion right."""


@dataclass(frozen=True)
class GroupTable:
    """One step. `rewards` is (N, G) by function; texts are arrays of dtype object; NaN = not
    scored."""

    problem_N: Array
    prompt_N: Array
    gold_N: Array
    dead_N: Array
    completion_NG: Array
    rewards: dict[str, Array]
    reward_NG: Array
    baseline_NG: Array
    advantage_NG: Array
    length_NG: Array
    truncated_NG: Array
    config: Mapping[str, Any]
    opened: str = ""
    """What the chat template wrote of each answer; the completions begin with it."""

    @classmethod
    def of(cls, samples: pd.DataFrame, config: Mapping[str, Any], opened: str = "") -> GroupTable:
        """From what `Run.samples` and `Run.config_at` give for a step with samples."""
        G = int((samples["group"] == 0).sum())

        def grouped(name: str) -> Array:
            values_NG: Array = samples[name].to_numpy().reshape(-1, G)
            return values_NG

        return cls(
            problem_N=grouped("problem_id")[:, 0],
            prompt_N=grouped("prompt")[:, 0],
            gold_N=grouped("gold_answer")[:, 0],
            dead_N=grouped("dead")[:, 0],
            completion_NG=grouped("completion"),
            rewards={
                c.removeprefix("rewards/"): grouped(c)
                for c in samples.columns
                if c.startswith("rewards/")
            },
            reward_NG=grouped("reward"),
            baseline_NG=grouped("baseline"),
            advantage_NG=grouped("advantage"),
            length_NG=grouped("length"),
            truncated_NG=grouped("truncated"),
            config=config,
            opened=opened,
        )

    def __len__(self) -> int:
        return len(self.prompt_N)

    @property
    def G(self) -> int:
        """Completions of a group."""
        return int(self.reward_NG.shape[1])

    @cached_property
    def std_N(self) -> Array:
        """The std of each group's reward, the one that the run divides by; NaN where fewer than two
        are scored."""
        ddof = 0 if self.config.get("advantage_std") == "population" else 1
        n_N = (~np.isnan(self.reward_NG)).sum(1)
        square_N = np.nansum((self.reward_NG - self.mean_N[:, None]) ** 2, axis=1)
        return np.where(n_N > ddof, np.sqrt(square_N / np.maximum(n_N - ddof, 1)), np.nan)

    @cached_property
    def mean_N(self) -> Array:
        """The mean of each group's reward, NaN where none is scored."""
        n_N = (~np.isnan(self.reward_NG)).sum(1)
        return np.where(n_N > 0, np.nansum(self.reward_NG, axis=1) / np.maximum(n_N, 1), np.nan)

    @cached_property
    def folded(self) -> tuple[Array, Array]:
        """Lower-case texts for the search: of each group (prompt, gold answer, problem), of each
        completion."""
        heads = [
            "\n".join(map(str, texts)).casefold()
            for texts in zip(self.prompt_N, self.gold_N, self.problem_N, strict=True)
        ]
        folded = np.array([text.casefold() for text in self.completion_NG.flat], object)
        return np.array(heads, object), folded.reshape(self.completion_NG.shape)

    def right(self, by: str) -> tuple[Array, Array]:
        """(right, wrong), bool (N, G), by a reward function or the total: above 0, or not; neither
        where not scored."""
        reward_NG: Array = self.reward_NG if by == TOTAL else self.rewards[by]
        return reward_NG > 0, reward_NG <= 0

    def found(self, query: str) -> Array:
        """bool (N, G): the text, in any case, stands in the completion, or in its prompt, gold
        answer or problem id."""
        wanted = query.casefold()
        if not wanted:
            return np.ones(self.reward_NG.shape, bool)
        heads_N, folded_NG = self.folded
        in_head_N = np.array([wanted in head for head in heads_N], bool)
        in_text = np.array([wanted in text for text in folded_NG.flat], bool).reshape(
            folded_NG.shape
        )
        found_NG: Array = in_text | in_head_N[:, None]
        return found_NG


def _groups(of_N: Any, table: GroupTable) -> Array:
    return np.repeat(of_N[:, None], table.G, axis=1)


SPREAD = "reward spread"
"""The order that a view opens with: what teaches most comes first, dead groups last."""
SORTS: dict[str, Callable[[GroupTable], Array]] = {
    "original order": lambda t: -np.arange(len(t)),
    SPREAD: lambda t: t.std_N,
    "mean reward": lambda t: t.mean_N,
    "length": lambda t: t.length_NG.mean(1),
    "truncated": lambda t: t.truncated_NG.mean(1),
}
"""name -> (N,), largest first."""

FILTERS: dict[str, Callable[[GroupTable, str], Array]] = {
    "all groups": lambda t, by: np.ones(t.reward_NG.shape, bool),
    "live groups only": lambda t, by: _groups(~t.dead_N, t),
    "dead groups only": lambda t, by: _groups(t.dead_N, t),
    "with a truncated completion": lambda t, by: t.truncated_NG,
    "with a right completion": lambda t, by: t.right(by)[0],
    "with a wrong completion": lambda t, by: t.right(by)[1],
    "without a right completion": lambda t, by: _groups(~t.right(by)[0].any(axis=1), t),
}
"""name -> bool (N, G): the completions that make their group appear."""


def right_by(names: list[str]) -> str:
    """The reward function that most likely says whether an answer is right; the total where none
    looks like it."""
    return next(
        (n for n in names if re.search("answer|correct|accura|exact|solve", n, re.IGNORECASE)),
        TOTAL,
    )


def chosen(
    table: GroupTable, sort: str, smallest_first: bool, keep: str, by: str, query: str
) -> tuple[Array, Array]:
    """(the numbers of the groups to show, in order; bool (N, G) of the completions that match). NaN
    sorts last."""
    matching_NG = FILTERS[keep](table, by) & table.found(query)
    key_N = SORTS[sort](table)
    order_N = np.argsort(key_N if smallest_first else -key_N, kind="stable")
    return order_N[matching_NG[order_N].any(1)], matching_NG
