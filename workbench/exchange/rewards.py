"""Which columns of a row are rewards: those that were named, or else those that look like it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.exchange.values import ImportFileError, number_of

REWARD_NAMES = ("reward", "score")
"""What a row's only reward may be called, the first one there."""
BY_FUNCTION = "rewards"
"""An object in a row with each function's reward by its name."""


@dataclass(frozen=True)
class Rewards:
    """What one completion was paid."""

    by_function: Mapping[str, float]
    """NaN: not scored."""

    total: float | None = None
    """As a column says it; None: it is the sum."""

    read: frozenset[str] = frozenset()
    """Columns that were read for it."""


@dataclass(frozen=True)
class RewardColumns:
    """Which columns are rewards: a column of the row, or a key of its object `rewards`."""

    functions: tuple[str, ...] = ()
    """Each function's; empty: they are guessed."""

    total: str | None = None
    """The one that holds the total; None: the functions' sum."""

    def __post_init__(self) -> None:
        doubled = [name for name in self.functions if self.functions.count(name) > 1]
        if doubled:
            raise ImportFileError(f"--reward {doubled[0]!r:.60} is named twice. Name it once.")

    @property
    def named(self) -> frozenset[str]:
        """All names that were given."""
        return frozenset(filter(None, (*self.functions, self.total)))

    def of_row(
        self, place: str, row: Mapping[str, Any], likely: Sequence[str] | None = None
    ) -> Rewards:
        """The rewards of a row. `likely`: the columns that are taken where none are named; None
        asks for the usual names. Raises `ImportFileError`."""
        names = self.functions or self._guessed(place, row, likely)
        total = None if self.total is None else _value(place, row, self.total)
        names = names or tuple(filter(None, [self.total]))
        if not names:
            raise ImportFileError(f"{place}: has no column of a reward function.")
        return Rewards(
            {name: _value(place, row, name) for name in names},
            total,
            frozenset((*names, *self.named, BY_FUNCTION)),
        )

    def _guessed(
        self, place: str, row: Mapping[str, Any], likely: Sequence[str] | None
    ) -> tuple[str, ...]:
        if likely is None:
            likely = _usual(place, row, may_lack=self.total is not None)
        return tuple(name for name in likely if name != self.total)


def _usual(place: str, row: Mapping[str, Any], *, may_lack: bool) -> list[str]:
    given = row.get(BY_FUNCTION)
    if isinstance(given, Mapping) and given:
        return [str(name) for name in given]
    found = next((name for name in REWARD_NAMES if name in row), None)
    if found is None and not may_lack:
        known = ", ".join(REWARD_NAMES)
        raise ImportFileError(
            f"{place}: has no reward. It may be called {known}, or be an object `rewards` with a "
            "number for each function; --reward NAME takes a column of another name."
        )
    return [] if found is None else [found]


def _value(place: str, row: Mapping[str, Any], name: str) -> float:
    """The number in a column, or in the object of the functions' rewards, where the name is in
    that."""
    by_function = row.get(BY_FUNCTION)
    if isinstance(by_function, Mapping) and name in by_function:
        return number_of(place, f"rewards.{name}", by_function[name])
    if name in row:
        what = "the reward" if name in REWARD_NAMES else f"the reward {name!r:.60}"
        return number_of(place, what, row[name])
    raise ImportFileError(
        f"{place}: has no reward {name!r:.60}; its columns are "
        f"{', '.join(map(repr, list(row)[:20])):.300}."
    )


def reward_notes(columns: RewardColumns, names: Sequence[str]) -> list[str]:
    """What was taken as a reward and as the total, in words."""
    notes = []
    if not columns.functions:
        notes.append(
            f"Taken as rewards: {', '.join(names)}. That is a guess by name and kind: --reward "
            "NAME, once for each, says which columns are rewards."
        )
    if columns.total is not None:
        notes.append(f"Taken as the total reward: {columns.total}.")
    elif len(names) > 1:
        notes.append("The total reward is the plain sum of the functions: no weights are known.")
    return notes


def total_of(rewards: Rewards, names: Sequence[str]) -> float:
    """The total of a completion: what its file says, or the sum of what was scored; NaN where
    nothing was."""
    if rewards.total is not None:
        return rewards.total
    known = [rewards.by_function.get(name, math.nan) for name in names]
    scored = [value for value in known if not math.isnan(value)]
    return math.fsum(scored) if scored else math.nan
