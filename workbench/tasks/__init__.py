"""Tasks: prompts with gold answers, in a training and a held-out split."""

from __future__ import annotations

from pathlib import Path

from workbench.tasks.jsonl import jsonl_task
from workbench.tasks.types import Problem, Task, TaskError, columns_of

TASKS = ("arithmetic", "gsm8k")
"""The tasks known by name; every other task is a JSONL file."""

__all__ = ["TASKS", "Problem", "Task", "TaskError", "columns_of", "jsonl_task", "load_task"]


def load_task(name_or_path: str | Path, seed: int = 0) -> Task:
    """A task by name ("arithmetic", or "gsm8k" from the Hub), or the path of a .jsonl file of
    problems.

    `seed` makes the splits of a generated task, and of a file that has no test file beside it.
    Raises `TaskError`.
    """
    if name_or_path == "arithmetic":
        from workbench.tasks.arithmetic import arithmetic_task

        return arithmetic_task(seed=seed)
    if name_or_path == "gsm8k":
        from workbench.tasks.gsm8k import gsm8k_task

        return gsm8k_task()
    path = Path(name_or_path)
    if path.suffix or path.exists():
        return jsonl_task(path, seed=seed)
    known = ", ".join(TASKS)
    raise TaskError(
        f"task {str(name_or_path)!r} is unknown. Choose one of {known}, or the path of a .jsonl file."
    )
