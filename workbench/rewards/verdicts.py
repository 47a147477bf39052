"""Asking one reward function from within another: which completions it calls right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.rewards.batch import RewardFunction, is_async, names_taken
from workbench.rewards.outputs import checked
from workbench.rewards.parameters import REWARD, WithParameters, check


class AsksAnother(WithParameters):
    """What a reward descends from whose parameter `reward` says which completions are right."""

    _inner: RewardFunction

    def __post_init__(self) -> None:
        # The table of rewards holds those that ask others.
        from workbench.rewards.resolve import resolve_reward

        inner = resolve_reward(getattr(self, REWARD))
        check(not is_async(inner), self, REWARD, "a function that is not async")
        # Once: a file of the user's is run by this.
        object.__setattr__(self, "_inner", inner)

    def right(self, **given: Any) -> list[bool | None]:
        """Whether the inner reward pays each completion, None where it did not score it; `given`
        are the arguments of a step. Raises `ValueError` for a reward that is neither 0 nor 1."""
        return _verdicts(self._inner, given)


def _verdicts(function: RewardFunction, given: Mapping[str, Any]) -> list[bool | None]:
    arguments = {name: given[name] for name in names_taken(function, list(given))}
    values = checked(function(**arguments), len(given["completions"]))
    for row, value in enumerate(values):
        if not math.isnan(value) and value not in (0, 1):
            name = getattr(function, "__name__", type(function).__name__)
            raise ValueError(
                f"the inner reward {name!r} returned {value:g} in row {row}; expected 0 or 1 (or "
                "None), which say whether a completion is right."
            )
    return [None if math.isnan(value) else value == 1 for value in values]
