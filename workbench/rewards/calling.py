"""Calling one reward function on one batch, and finding the sample that is to blame when that goes
wrong.

TRL (1.16) reports a failing reward function by its stack trace alone and lets a NaN through as "not
scored". Here both are errors that show the sample: a reward function is the user's own code, and
this is where it is debugged.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError

RewardFunction = Callable[..., Any]
"""`f(prompts, completions, **columns) -> list[float | None]`, sync or async."""

LARGEST = 3.4028234663852886e38
"""The largest float32."""


class RewardError(WorkbenchError, RuntimeError):
    """A reward function failed. `function` is its name, `row` the sample that is to blame (None: no
    single one)."""

    def __init__(self, message: str, function: str, row: int | None) -> None:
        super().__init__(message)
        self.function = function
        self.row = row


class _FaultError(WorkbenchError):
    """What is wrong with a function's output, and the row where that is known."""

    def __init__(self, what: str, row: int | None = None) -> None:
        super().__init__(what)
        self.row = row


@dataclass(frozen=True)
class ScoringBatch:
    """What every reward function of one step gets; `columns` holds lists with B entries by name,
    `extras` the rest."""

    prompts: Sequence[Any]
    completions: Sequence[Any]
    columns: Mapping[str, Sequence[Any]]
    extras: Mapping[str, Any]

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

        The lists are copies, so that a function which changes its arguments changes nobody else's.
        """
        lists = {"prompts": self.prompts, "completions": self.completions, **self.columns}
        given = {name: list(values) for name, values in lists.items()} | dict(self.extras)
        parameters = inspect.signature(function).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return given
        return {name: value for name, value in given.items() if name in parameters}


def is_async(function: RewardFunction) -> bool:
    """Whether calling `function` gives a coroutine; an object with an async `__call__` counts."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


def call(name: str, function: RewardFunction, batch: ScoringBatch) -> list[float]:
    """The rewards of a sync function, NaN for None. Raises `RewardError`."""
    try:
        return checked(function(**batch.arguments(function)), len(batch.prompts))
    except Exception as error:
        raise _blamed(name, function, batch, error) from _cause(error)


async def call_async(name: str, function: RewardFunction, batch: ScoringBatch) -> list[float]:
    """The same of an async function."""
    try:
        return checked(await function(**batch.arguments(function)), len(batch.prompts))
    except Exception as error:
        raise await asyncio.to_thread(_blamed, name, function, batch, error) from _cause(error)


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of `coroutine`, run in a thread of its own: a notebook's thread has a running
    event loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def checked(output: Any, size: int) -> list[float]:
    """`output` as `size` finite floats, NaN where it says None. Raises `_FaultError`."""
    if isinstance(output, (str, bytes, Mapping)) or not hasattr(output, "__iter__"):
        raise _FaultError(
            f"returned {output!r:.80}, a {type(output).__name__}; expected a list of {size} rewards"
        )
    rewards = list(output)
    if len(rewards) != size:
        raise _FaultError(
            f"returned {len(rewards)} reward(s) for {size} completion(s); expected one for each"
        )
    return [_checked_one(value, i) for i, value in enumerate(rewards)]


def _checked_one(value: Any, row: int) -> float:
    if value is None:
        return math.nan
    number = (
        value.item()
        if callable(getattr(value, "item", None)) and getattr(value, "ndim", 1) == 0
        else value
    )
    if not isinstance(number, (bool, int, float)):
        raise _FaultError(
            f"returned {value!r:.80}, a {type(value).__name__}; expected a number, or None: not "
            "scored",
            row,
        )
    if not abs(number) <= LARGEST:  # also true of NaN
        raise _FaultError(
            f"returned {number!r:.80}; expected a finite float32 number, or None: not scored", row
        )
    return float(number)


def _cause(error: Exception) -> Exception | None:
    return None if isinstance(error, _FaultError) else error


def _blamed(
    name: str, function: RewardFunction, batch: ScoringBatch, error: Exception
) -> RewardError:
    """The error to raise for `error`; without a known row, the samples are tried one by one."""
    row = error.row if isinstance(error, _FaultError) else None
    what = (
        str(error) if isinstance(error, _FaultError) else f"raised {type(error).__name__}: {error}"
    )
    text = f"reward function {name!r} {what}."
    if row is None:
        row = next(
            (i for i in range(len(batch.prompts)) if _fails_alone(function, batch.row(i))), None
        )
        if row is None:
            text += (
                f" None of the {len(batch.prompts)} samples makes it fail on its own: it "
                "fails on the batch."
            )
        else:
            text += f" Row {row} makes it fail also on its own."
    if row is not None:
        prompt = batch.prompts[row]
        completion = batch.completions[row]
        text += f" Row {row}: prompt {_excerpt(prompt)}, completion {_excerpt(completion)}"
    if isinstance(error, TypeError):
        text += f" (The columns of this task are: {', '.join(batch.columns)}.)"
    return RewardError(text, name, row)


def _fails_alone(function: RewardFunction, sample: ScoringBatch) -> bool:
    try:
        arguments = sample.arguments(function)
        checked(
            run_coroutine(function(**arguments)) if is_async(function) else function(**arguments), 1
        )
    except Exception:  # reported through the error of the whole batch
        return True
    return False


def _excerpt(value: Any, limit: int = 200) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit // 2]} … {shown[-limit // 2 :]}"
