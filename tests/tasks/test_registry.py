"""The table of named tasks: nothing that belongs to a row can be forgotten."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from workbench import tasks
from workbench.commands.options import TASK_HELP
from workbench.tasks import TASKS, load_task


def test_every_task_that_is_written_has_a_row() -> None:
    written = {
        function
        for info in pkgutil.iter_modules(tasks.__path__)
        for name, function in vars(importlib.import_module(f"workbench.tasks.{info.name}")).items()
        if inspect.isfunction(function) and name.endswith("_task") and not name.startswith("_")
    }
    assert len(written) > 2, "the search itself found nothing"
    assert written - {load_task} == set(TASKS.values())


def test_every_row_is_the_function_of_its_name_and_takes_a_seed() -> None:
    wrong = [
        name
        for name, make in TASKS.items()
        if make.__name__ != f"{name}_task"
        or next(iter(inspect.signature(make).parameters)) != "seed"
    ]
    assert not wrong


def test_the_help_names_every_task() -> None:
    assert not [name for name in TASKS if name not in TASK_HELP.lower()]
