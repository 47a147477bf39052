"""A task in words, for who wants to see it before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.tasks.types import Task

SHOWN = 12
"""Subjects and levels that are listed."""


def description_of(task: Task) -> list[str]:
    """Its splits, how each gold was found, what was dropped and why, what results can be grouped
    by, and the first conversation; a line each."""
    sizes = f"{len(task.train)} to train on, {len(task.held_out)} held out"
    lines = [f"task {task.name!r}: {sizes}"]
    if task.reading is not None:
        lines.append(str(task.reading))
    groups = groups_of(task)
    lines += [f"{name}: {_listed(counts)}" for name, counts in groups.items() if counts]
    total = len(task.train) + len(task.held_out)
    lines.append(f"worked solutions: {worked_solutions(task)} of {total} problems have one")
    first = (*task.train[:1], *task.held_out)[0]
    lines.append("the first conversation:")
    lines += [f"  {turn['role']}: {turn['content']!r:.400}" for turn in task.messages(first)]
    return [*lines, f"  gold: {first.answer!r:.200}"]


def groups_of(task: Task) -> dict[str, dict[Any, int]]:
    """How many problems have each subject and each level."""
    problems = (*task.train, *task.held_out)
    subjects = Counter(p.subject for p in problems if p.subject is not None)
    levels = Counter(p.level for p in problems if p.level is not None)
    return {"subjects": dict(subjects.most_common()), "levels": dict(_in_order(levels))}


def worked_solutions(task: Task) -> int:
    """How many problems can be demonstrated."""
    return sum(p.solution is not None for p in (*task.train, *task.held_out))


def _in_order(levels: Counter[Any]) -> Iterator[tuple[Any, int]]:
    """Numbers as they count, and words behind them."""
    numbers = sorted(level for level in levels if not isinstance(level, str))
    words = sorted(level for level in levels if isinstance(level, str))
    return ((level, levels[level]) for level in (*numbers, *words))


def _listed(counts: dict[Any, int]) -> str:
    shown = [f"{group!r:.60} {count}" for group, count in list(counts.items())[:SHOWN]]
    more = f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return ", ".join(shown) + more
