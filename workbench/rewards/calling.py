"""Calling the reward functions on one batch, and finding the sample that is to blame when that goes
wrong.

TRL (1.16) reports a failing reward function by its stack trace alone and lets a NaN through as "not
scored". Here both are errors that show the sample: a reward function is the user's own code, and
this is where it is debugged.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import WorkbenchError
from workbench.rewards.batch import RewardFunction, ScoringBatch, is_async
from workbench.rewards.beside import run_coroutine
from workbench.rewards.outputs import FaultError, checked
from workbench.rewards.time_limit import OutOfTimeError, ScoringCancelledError, TimeLimit

_GRACE = 1.0
"""Seconds that async functions have to end once they were cancelled at their limit."""
_NO_ALARM = ("main thread", "signal.alarm", "threaded environment")
"""Words of Python's and of math_verify's error when an alarm is set outside the main thread."""
_LOOP_RUNS = "from a running event loop"
"""Words of asyncio's error when a loop is started inside another."""


class RewardError(WorkbenchError, RuntimeError):
    """A reward function failed. `function` is its name, `row` the sample that is to blame (None: no
    single one)."""

    def __init__(self, message: str, function: str, row: int | None) -> None:
        super().__init__(message)
        self.function = function
        self.row = row


Named = tuple[str, RewardFunction]
"""A function with its name in the record."""


@dataclass(frozen=True)
class Kind:
    """What is called: reward functions, or functions that score the steps of a completion."""

    words: str
    """What one is called in an error."""

    checked: Callable[[Any, ScoringBatch], list[Any]]
    """What a function of this kind returned, in order and with one entry per completion. Raises
    `FaultError`."""


REWARDS = Kind("reward function", lambda output, batch: checked(output, batch.size))
"""One number for each completion, NaN for None."""


def call_all(
    functions: Sequence[Named], batch: ScoringBatch, limit: TimeLimit, kind: Kind = REWARDS
) -> dict[str, list[Any]]:
    """What each function says of the batch, by name: the async ones all at once, and each with
    copies of its own. Raises `RewardError`, `ScoringCancelledError`."""
    results = {
        name: call((name, function), batch, limit, kind)
        for name, function in functions
        if not is_async(function)
    }
    waiting = [named for named in functions if is_async(named[1])]
    if waiting:
        results |= call_together(waiting, batch, limit, kind)
    return results


def call(named: Named, batch: ScoringBatch, limit: TimeLimit, kind: Kind) -> list[Any]:
    """What a sync function says. Raises `RewardError`."""
    _, function = named
    try:
        found: list[Any] = limit.call(
            lambda: kind.checked(function(**batch.arguments(function)), batch)
        )
        return found
    except ScoringCancelledError:
        raise
    except OutOfTimeError as error:
        raise _too_late([named], limit, error, kind) from None
    # A reward that asks the whole process to end would end it without a word.
    except (Exception, SystemExit) as error:
        raise _blamed(named, batch, error, limit, kind) from _cause(error)


def call_together(
    functions: Sequence[Named], batch: ScoringBatch, limit: TimeLimit, kind: Kind
) -> dict[str, list[Any]]:
    """The same of async functions, all at once, by name."""
    waiting = dict(functions)
    # Not the limit itself: a thread that never returns would hold whatever `should_stop` leads to.
    seconds = limit.seconds
    # The functions' own limit ends those that can be cancelled; this one is for those that cannot.
    outer = replace(limit, seconds=None if seconds is None else seconds + _GRACE)
    try:
        found: dict[str, list[Any]] = outer.call(
            lambda: run_coroutine(_gather(waiting, batch, seconds, kind)), apart=True
        )
        return found
    except OutOfTimeError as error:
        raise _too_late(list(waiting.items()), limit, error, kind) from None
    except _CallError as failed:
        cause = _cause(failed.error)
        raise _blamed(failed.named, batch, failed.error, limit, kind) from cause


class _CallError(WorkbenchError):
    """One of several async functions failed."""

    def __init__(self, named: Named, error: BaseException) -> None:
        super().__init__(str(error))
        self.named = named
        self.error = error


async def _gather(
    waiting: dict[str, RewardFunction], batch: ScoringBatch, seconds: float | None, kind: Kind
) -> dict[str, list[Any]]:
    """The answers of all of `waiting`; whoever has answered leaves it. Raises `_CallError` from the
    first that failed, `OutOfTimeError`."""

    async def one(named: Named, deadline: asyncio.Timeout) -> tuple[str, list[Any]]:
        name, function = named
        try:
            found = kind.checked(await function(**batch.arguments(function)), batch)
        except (Exception, SystemExit) as error:
            if deadline.expired():
                # It made this error of its cancellation.
                raise OutOfTimeError(goes_on=False) from None
            raise _CallError(named, error) from error
        # A bare `except:` swallows the cancellation too: what such a function returns then is no
        # answer.
        if not deadline.expired():
            del waiting[name]
        return name, found

    tasks: list[asyncio.Task[tuple[str, list[Any]]]] = []
    try:
        async with asyncio.timeout(seconds) as deadline:
            tasks += [asyncio.create_task(one(named, deadline)) for named in waiting.items()]
            return dict(await asyncio.gather(*tasks))
    except TimeoutError:  # a function's own is a _CallError
        raise OutOfTimeError(goes_on=False) from None
    finally:
        # Where one has failed, the others must not go on in the next step.
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_GRACE / 2)


# ------------------------------------------------------------------------------- what is said of it


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ if isinstance(error, FaultError) else error


def _too_late(
    named: Sequence[Named], limit: TimeLimit, error: OutOfTimeError, kind: Kind
) -> RewardError:
    names = " and ".join(repr(name) for name, _ in named)
    text = (
        f"{kind.words} {names} had not returned after {limit.seconds:g} s (reward_timeout). "
        "Nothing was updated. Mend what it waits for, or allow it more: "
        "GRPOConfig(reward_timeout=…), --set reward_timeout=…, also when the run is resumed."
    )
    if error.goes_on:
        text += (
            " The call goes on in a thread of its own, which Python cannot end; nothing that it "
            "returns or logs is used."
        )
    return RewardError(text, named[0][0], None)


def _blamed(
    named: Named, batch: ScoringBatch, error: BaseException, limit: TimeLimit, kind: Kind
) -> RewardError:
    """The error to raise for `error`; without a known row, the samples are tried one by one."""
    name, function = named
    is_fault = isinstance(error, FaultError)
    what = str(error) if is_fault else f"raised {type(error).__name__}: {error}"
    text = f"{kind.words} {name!r} {what}."
    if _wants_an_alarm(error):
        text += (
            " It sets an alarm, as the time limits of math_verify do, and a session scores outside "
            "the main thread, where no alarm can be set. Compare with "
            "workbench.rewards.answers_equal(given, gold), which has a time limit that works "
            "there, or call math_verify with parsing_timeout=None and timeout_seconds=None."
        )
    if isinstance(error, RuntimeError) and _LOOP_RUNS in str(error):
        text += " A notebook runs an event loop: write the function with `async def`, and await."
    row = error.row if isinstance(error, FaultError) else None
    if row is None:
        row, found = _search(function, batch, limit, kind)
        text += found
    if row is not None:
        prompt = batch.prompts[row]
        completion = batch.completions[row]
        text += f" Row {row}: prompt {_excerpt(prompt)}, completion {_excerpt(completion)}"
    if isinstance(error, TypeError):
        text += f" (The columns of this task are: {', '.join(batch.columns)}.)"
    return RewardError(text, name, row)


def _wants_an_alarm(error: BaseException) -> bool:
    """Whether `error` comes of an alarm that was set outside the main thread."""
    elsewhere = threading.current_thread() is not threading.main_thread()
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    return elsewhere and any(
        isinstance(link, ValueError) and any(words in str(link) for words in _NO_ALARM)
        for link in chain
    )


def _search(
    function: RewardFunction, batch: ScoringBatch, limit: TimeLimit, kind: Kind
) -> tuple[int | None, str]:
    """The first sample that makes `function` fail on its own, if any does, and what is said of
    that."""
    try:
        row = limit.call(lambda: _first_that_fails(function, batch, kind), apart=is_async(function))
    except OutOfTimeError:
        return None, f" The search for the sample to blame gave up after {limit.seconds:g} s."
    if row is None:
        return None, (
            f" None of the {batch.size} samples makes it fail on its own: it fails on the batch."
        )
    return row, f" Row {row} makes it fail also on its own."


def _first_that_fails(function: RewardFunction, batch: ScoringBatch, kind: Kind) -> int | None:
    rows = range(batch.size)
    return next((row for row in rows if _fails_alone(function, batch.row(row), kind)), None)


def _fails_alone(function: RewardFunction, sample: ScoringBatch, kind: Kind) -> bool:
    try:
        output = function(**sample.arguments(function))
        if is_async(function):
            output = run_coroutine(output)
        kind.checked(output, sample)
    except (Exception, SystemExit):  # reported through the error of the whole batch
        return True
    return False


def _excerpt(value: object, limit: int = 200) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit // 2]} … {shown[-limit // 2 :]}"
