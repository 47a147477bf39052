"""The gold answers of a task before anything is trained on it: all that cannot be read, at once,
and what is to become of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.rewards.answers.equal import GoldError, check_gold
from workbench.tasks.types import AS_TEXT, Problem, Task, TaskWarning

SHOWN = 3
"""How many are shown of what may be many."""


@dataclass(frozen=True)
class Unreadable:
    """A problem whose gold answer nothing can be compared with."""

    problem: Problem

    reason: str
    """What `check_gold` says of it."""

    def __str__(self) -> str:
        place = f"{self.problem.place}: " if self.problem.place else ""
        return f"{place}gold {self.problem.answer!r:.80} of {self.problem.question!r:.80}"


def unreadable_golds(task: Task) -> list[Unreadable]:
    """All problems of `task`, of both splits, whose gold answer cannot be read."""
    found = []
    for problem in (*task.train, *task.held_out):
        try:
            check_gold(problem.answer)
        except GoldError as error:
            found.append(Unreadable(problem, str(error)))
    return found


def with_readable_golds(task: Task, otherwise: str = "refuse") -> Task:
    """`task` where all golds can be read; else what `otherwise` says: "refuse" raises `GoldError`,
    "skip" leaves the problems out with a warning, "text" has their golds compared as text, which
    they then say themselves (`text:` stands before them). Raises `TaskError` where a split is left
    empty."""
    found = unreadable_golds(task)
    if not found:
        return task
    if otherwise == "refuse":
        raise GoldError(_refusal(task, found))
    bad = {id(item.problem) for item in found}
    if otherwise == "skip":
        warnings.warn(
            f"task {task.name!r}: {_count(found)} left out: {_shown(found)}.",
            TaskWarning,
            stacklevel=2,
        )
        return replace(
            task,
            train=[p for p in task.train if id(p) not in bad],
            held_out=[p for p in task.held_out if id(p) not in bad],
        )
    return replace(
        task,
        train=[_as_text(p) if id(p) in bad else p for p in task.train],
        held_out=[_as_text(p) if id(p) in bad else p for p in task.held_out],
    )


def _as_text(problem: Problem) -> Problem:
    answer = AS_TEXT + problem.answer
    check_gold(answer)
    return replace(problem, answer=answer)


def _refusal(task: Task, found: Sequence[Unreadable]) -> str:
    return (
        f"task {task.name!r}: {_count(found)} cannot be read, and scoring against such a one would "
        f"be noise: {_shown(found)}. The first: {found[0].reason} To go on without these problems "
        'give --skip-unreadable (GRPOConfig(unreadable_golds="skip")); to have them compared as '
        'text, unreadable_golds="text".'
    )


def _count(found: Sequence[Unreadable]) -> str:
    return "1 gold answer" if len(found) == 1 else f"{len(found)} gold answers"


def _shown(found: Sequence[Unreadable]) -> str:
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(str(item) for item in found[:SHOWN]) + more
