"""Tasks: prompts with gold answers, in a training and a held-out split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.tasks.arithmetic import arithmetic_task
from workbench.tasks.arithmetic_shifted import (
    arithmetic_longer_task,
    arithmetic_operators_task,
    arithmetic_three_steps_task,
    arithmetic_wording_task,
)
from workbench.tasks.from_data import as_text, task_from_data
from workbench.tasks.published import PUBLISHED, gsm8k_task, math_task
from workbench.tasks.reading.report import Reading
from workbench.tasks.reading.system import AS_IN_DATA, SystemPrompt
from workbench.tasks.sources.files import READERS
from workbench.tasks.sources.hub import is_hub_name
from workbench.tasks.types import Problem, Task, TaskError, TaskWarning, columns_of

__all__ = [
    "AS_IN_DATA",
    "TASKS",
    "Problem",
    "Task",
    "TaskError",
    "TaskWarning",
    "columns_of",
    "is_hub_name",
    "load_task",
]

TASKS: dict[str, Callable[[int], Task]] = {
    "arithmetic": arithmetic_task,
    "arithmetic_longer": arithmetic_longer_task,
    "arithmetic_three_steps": arithmetic_three_steps_task,
    "arithmetic_wording": arithmetic_wording_task,
    "arithmetic_operators": arithmetic_operators_task,
    "gsm8k": gsm8k_task,
    "math": math_task,
}
"""The tasks known by name, each made from a seed; every other task is read from data.

To add one: write `tasks/NAME.py` with a function `NAME_task(seed) -> Task`, whose problems are
disjoint by question (`Task` checks that) and whose data set, if it needs one, is loaded inside the
function; add its row here; name it in the help of `--task` (`commands/options.py`); test it in
`tests/tasks/`. `tests/tasks/test_registry.py` fails when the row or the help is forgotten.
"""


def load_task(
    source: Any,
    seed: int = 0,
    *,
    question_key: str | None = None,
    answer_key: str | None = None,
    system_key: str | None = None,
    solution_key: str | None = None,
    subject_key: str | None = None,
    level_key: str | None = None,
    held_out: Any = None,
    system_prompt: str | SystemPrompt | None = AS_IN_DATA,
    unreadable_golds: str = "refuse",
    name: str | None = None,
) -> Task:
    """A task by name ("arithmetic", or "gsm8k" and "math" from the Hub), or from data.

    source         the path of a .jsonl, .json, .csv, .tsv or .parquet file, a data set of the Hub
                   ("hf:owner/name", with "/config" and "@split" behind it), a list of dicts, a
                   pandas frame, a `datasets.Dataset`, a pyarrow table, or a dict of such with
                   "train" and "test"
    seed           makes a generated task, and draws what is held out of data without a test split
    question_key, answer_key, system_key, solution_key, subject_key, level_key   name the keys
                   (columns); dots lead into nested objects (`reward_model.ground_truth`), numbers
                   into lists. None takes the first known ones of the first row
    held_out       a second source, or how many problems to hold out. None takes the data's own test
                   split (a test.jsonl beside a train.jsonl), else a tenth
    system_prompt  in place of the data's own system messages; None sends none at all
    unreadable_golds   "skip" leaves out the rows in which no gold is found, and counts them; any
                   other value refuses them
    name           what the task is called, where not by its file

    `Task.describe()` says how it was read. A question that comes twice is kept once, in the
    held-out split where it is in both; one that has two different golds is left out, with a warning
    that names the rows. Raises `TaskError` naming the place and what is wrong.
    """
    keys = {
        "question_key": question_key,
        "answer_key": answer_key,
        "system_key": system_key,
        "solution_key": solution_key,
        "subject_key": subject_key,
        "level_key": level_key,
    }
    if isinstance(source, str) and source in PUBLISHED:
        name = name or source
        source = PUBLISHED[source]
    if isinstance(source, str) and source in TASKS:
        _check_nothing_to_read(source, keys, held_out)
        if system_prompt is AS_IN_DATA:
            return TASKS[source](seed)
        reading = Reading({**keys, "system_prompt": as_text(system_prompt)})
        return replace(TASKS[source](seed), system_prompt=system_prompt, reading=reading)
    if isinstance(source, (str, Path)) and not is_hub_name(source):
        _check_is_path(source)
    return task_from_data(
        source,
        seed,
        keys=keys,
        held_out=held_out,
        system_prompt=system_prompt,
        skip_unreadable=unreadable_golds == "skip",
        name=name,
    )


def _check_nothing_to_read(source: str, keys: dict[str, str | None], held_out: Any) -> None:
    given = [key for key, value in keys.items() if value is not None]
    given += ["held_out"] if held_out is not None else []
    if given:
        raise TaskError(
            f"{', '.join(given)} can be given for a file or table alone: the task {source!r} "
            "has no keys to name. Leave it out."
        )


def _check_is_path(source: str | Path) -> None:
    path = Path(source).expanduser()
    if path.suffix or path.exists():
        return
    hub = ""
    if "/" in str(source):
        hub = f" A data set of the Hub: hf:{source}"
    raise TaskError(
        f"task {str(source)!r} is unknown. Choose one of {', '.join(TASKS)}, or the path of a "
        f"file of problems ({', '.join(READERS)}).{hub}"
    )
