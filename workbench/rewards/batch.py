"""What the reward functions of one step are given, a copy for each of them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.rewards.outputs import FaultError

RewardFunction = Callable[..., Any]
"""`f(prompts, completions, **columns) -> list[float | None]`, sync or async."""

_NEVER_CHANGE = {str, int, float, bool, type(None), bytes, complex}


class NotCopiedError(WorkbenchError, TypeError):
    """An object that cannot be copied; its text is the object's kind."""


@dataclass(frozen=True)
class ScoringBatch:
    """What every reward function of one step gets."""

    prompts: Sequence[Any]
    """B prompts."""
    completions: Sequence[Any]
    """B completions."""
    columns: Mapping[str, Sequence[Any]]
    """Lists with B entries, by name."""
    extras: Mapping[str, Any]
    """What has no entry per completion: the trainer's state, and the functions that log."""

    @property
    def size(self) -> int:
        """B."""
        return len(self.prompts)

    def row(self, i: int) -> ScoringBatch:
        """The batch of sample `i` alone; what it logs is thrown away."""
        columns = {name: values[i : i + 1] for name, values in self.columns.items()}
        silent = {"log_extra": lambda column, values: None, "log_metric": lambda name, value: None}
        return ScoringBatch(
            self.prompts[i : i + 1], self.completions[i : i + 1], columns, {**self.extras, **silent}
        )

    def arguments(self, function: RewardFunction) -> dict[str, Any]:
        """The keyword arguments of `function`: all of them, as in TRL, or those it names if it has
        no `**kwargs`.

        They are copies to the last nested list, so that a function which edits its arguments
        changes nobody else's, nor the task's problems. Raises `FaultError` for what cannot be
        copied.
        """
        lists = {"prompts": self.prompts, "completions": self.completions, **self.columns}
        names = names_taken(function, [*lists, *self.extras])
        given = {name: _own_list(name, lists[name]) for name in names if name in lists}
        extras = {name: self.extras[name] for name in names if name in self.extras}
        if "trainer_state" in extras:
            # Shallow: a caller's own may lead to a whole trainer.
            extras["trainer_state"] = copy.copy(extras["trainer_state"])
        return given | extras


def is_async(function: RewardFunction) -> bool:
    """Whether calling `function` gives a coroutine; an object with an async `__call__` counts."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


def names_taken(function: RewardFunction, names: Sequence[str]) -> list[str]:
    """Those of `names` that `function` takes."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return list(names)
    return [name for name in names if name in parameters]


def _own_list(name: str, values: Sequence[Any]) -> list[Any]:
    row = 0
    copies = []
    try:
        for row, value in enumerate(values):  # noqa: B007
            copies.append(own_copy(value))
        return copies
    except NotCopiedError as error:
        raise FaultError(
            f"cannot be given its arguments: {name!r} holds {error}, which cannot be copied, and "
            "each reward function gets a copy of its own. Give that class a __deepcopy__, or keep "
            "the object out of the task's columns",
            row,
        ) from error.__cause__


def own_copy(value: Any) -> Any:
    """`value` with every list, dict and object in it made anew.

    `copy.deepcopy` for plain data, ten times as fast: it keeps a memo of all that it has seen, to
    follow cycles, which JSON has not.
    """
    kind = type(value)
    if kind in _NEVER_CHANGE:
        return value
    if kind is list:
        # Token ids: a list of nothing but numbers is copied as a whole.
        if set(map(type, value)) <= _NEVER_CHANGE:
            return value.copy()
        return [own_copy(entry) for entry in value]
    if kind is dict:
        return {key: own_copy(entry) for key, entry in value.items()}
    try:
        return copy.deepcopy(value)
    except Exception as error:
        article = "an" if kind.__name__[0] in "aeiouAEIOU" else "a"
        raise NotCopiedError(f"{article} {kind.__name__}") from error
