"""One short text that tells one list of problems from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from workbench.tasks.types import Problem, Task


def problems_digest(task: Task, asked: Sequence[Problem] | None = None) -> str:
    """Tells one list of problems from another of the same name: all that a model is asked (system
    message and earlier turns included) and a reward function is given.

    The problems are those that are `asked`, or else all of the task, with where its splits part.
    """
    problems = (*task.train, *task.held_out)
    first_split = len(task.train)
    if asked is not None:
        problems = tuple(asked)
        first_split = len(problems)
    found = hashlib.sha256(str(first_split).encode())
    for problem in problems:
        columns = {name: _as_json(value) for name, value in sorted(problem.columns.items())}
        whole = (task.messages(problem), problem.answer, problem.kind, columns)
        found.update(json.dumps(whole).encode())
    return found.hexdigest()


def _as_json(value: Any) -> str | None:
    """The value as JSON; None where it is no plain JSON: what else would stand for it, such as its
    repr, need not be the same in the next process."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return None
