"""Tasks: prompts with gold answers, in a training and a held-out split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.tasks.arithmetic import arithmetic_task
from workbench.tasks.gsm8k import gsm8k_task
from workbench.tasks.jsonl import jsonl_task
from workbench.tasks.types import Problem, Task, TaskError, columns_of

__all__ = ["TASKS", "Problem", "Task", "TaskError", "columns_of", "jsonl_task", "load_task"]

TASKS: dict[str, Callable[[int], Task]] = {
    "arithmetic": arithmetic_task,
    "gsm8k": gsm8k_task,
}
"""The tasks known by name, each made from a seed; every other task is a JSONL file.

To add one: write `tasks/NAME.py` with a function `NAME_task(seed) -> Task`, whose problems are
disjoint by question (`Task` checks that) and whose data set, if it needs one, is loaded inside the
function; add its row here; name it in the help of `--task` (`commands/options.py`); test it in
`tests/tasks/`. `tests/tasks/test_registry.py` fails when the row or the help is forgotten.
"""


def load_task(name_or_path: str | Path, seed: int = 0) -> Task:
    """A task by name ("arithmetic", or "gsm8k" from the Hub), or the path of a .jsonl file of
    problems.

    `seed` makes the splits of a generated task, and of a file that has no test file beside it.
    Raises `TaskError`.
    """
    if isinstance(name_or_path, str) and name_or_path in TASKS:
        return TASKS[name_or_path](seed)
    path = Path(name_or_path)
    if path.suffix or path.exists():
        return jsonl_task(path, seed=seed)
    known = ", ".join(TASKS)
    raise TaskError(
        f"task {str(name_or_path)!r} is unknown. Choose one of {known}, or the path of a .jsonl "
        "file."
    )
