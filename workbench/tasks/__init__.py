"""Tasks: prompts with gold answers, in a training and a held-out split."""

from __future__ import annotations

import warnings
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
from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.gsm8k import gsm8k_task
from workbench.tasks.reading.report import Reading
from workbench.tasks.reading.system import AS_IN_DATA, SystemPrompt, kept_or_replaced
from workbench.tasks.sources.files import READERS
from workbench.tasks.sources.splits import splits_of
from workbench.tasks.types import Problem, Task, TaskError, TaskWarning, columns_of

__all__ = [
    "AS_IN_DATA",
    "TASKS",
    "Problem",
    "Task",
    "TaskError",
    "TaskWarning",
    "columns_of",
    "load_task",
]

TASKS: dict[str, Callable[[int], Task]] = {
    "arithmetic": arithmetic_task,
    "arithmetic_longer": arithmetic_longer_task,
    "arithmetic_three_steps": arithmetic_three_steps_task,
    "arithmetic_wording": arithmetic_wording_task,
    "arithmetic_operators": arithmetic_operators_task,
    "gsm8k": gsm8k_task,
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
    held_out: Any = None,
    system_prompt: str | SystemPrompt | None = AS_IN_DATA,
    unreadable_golds: str = "refuse",
    name: str | None = None,
) -> Task:
    """A task by name ("arithmetic", or "gsm8k" from the Hub), or from data.

    source         the path of a .jsonl, .json, .csv, .tsv or .parquet file, a list of dicts, a
                   pandas frame, a `datasets.Dataset`, a pyarrow table, or a dict of such with
                   "train" and "test"
    seed           makes a generated task, and draws what is held out of data without a test split
    question_key, answer_key, system_key   name the keys; dots lead into nested objects
                   (`reward_model.ground_truth`), numbers into lists. None takes the first
                   known ones of the first row
    held_out       a second source, or how many problems to hold out. None takes the data's own test
                   split (a test.jsonl beside a train.jsonl), else a tenth
    system_prompt  in place of the data's own system messages; None sends none at all
    unreadable_golds   "skip" leaves out the rows that have no gold at all, and counts them; any
                   other value refuses them
    name           what the task is called, where not by its file

    `Task.describe()` says how it was read. A question that comes twice is kept once, in the
    held-out split where it is in both; one that has two different golds is left out, with a warning
    that names the rows. Raises `TaskError` naming the place and what is wrong.
    """
    asked = {"question_key": question_key, "answer_key": answer_key, "system_key": system_key}
    reading = Reading({**asked, "system_prompt": _as_text(system_prompt)})
    reading.skip_missing = unreadable_golds == "skip"
    if isinstance(source, str) and source in TASKS:
        given = [key for key, value in asked.items() if value is not None]
        given += ["held_out"] if held_out is not None else []
        if given:
            raise TaskError(
                f"{', '.join(given)} can be given for a file or table alone: the task {source!r} "
                "has no keys to name. Leave it out."
            )
        if system_prompt is AS_IN_DATA:
            return TASKS[source](seed)
        return replace(TASKS[source](seed), system_prompt=system_prompt, reading=reading)
    if isinstance(source, (str, Path)):
        _check_is_path(source)
    train, tests, found_name = splits_of(source, held_out, seed, reading)
    train, tests = kept_or_replaced(train, tests, system_prompt, reading)
    for note in [*map(str, reading.dropped), *reading.notes]:
        warnings.warn(f"{reading.sources[0]}: {note}", TaskWarning, stacklevel=2)
    prompt = SYSTEM_PROMPT if isinstance(system_prompt, SystemPrompt) else system_prompt
    return Task(name or found_name, train, tests, prompt, reading)


def _as_text(system_prompt: str | SystemPrompt | None) -> str | None:
    """As the config's field has it: None for as in the data, empty for none."""
    return None if isinstance(system_prompt, SystemPrompt) else system_prompt or ""


def _check_is_path(source: str | Path) -> None:
    path = Path(source).expanduser()
    if path.suffix or path.exists():
        return
    hub = ""
    if "/" in str(source):
        hub = " A data set of the Hub: load_task(datasets.load_dataset(...)) in Python."
    raise TaskError(
        f"task {str(source)!r} is unknown. Choose one of {', '.join(TASKS)}, or the path of a "
        f"file of problems ({', '.join(READERS)}).{hub}"
    )
