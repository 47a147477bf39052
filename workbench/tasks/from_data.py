"""A task from data: a file, a table, a data set of the Hub."""

from __future__ import annotations

import warnings
from typing import Any

from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.reading.report import Reading
from workbench.tasks.reading.system import AS_IN_DATA, SystemPrompt, kept_or_replaced
from workbench.tasks.sources.splits import splits_of
from workbench.tasks.types import Task, TaskWarning


def task_from_data(
    source: Any,
    seed: int = 0,
    *,
    keys: dict[str, str | None] | None = None,
    held_out: Any = None,
    system_prompt: str | SystemPrompt | None = AS_IN_DATA,
    skip_unreadable: bool = False,
    name: str | None = None,
) -> Task:
    """See `workbench.tasks.load_task`; `keys` are its `…_key` arguments. What was left out or
    changed is warned of. Raises `TaskError`."""
    asked = {**(keys or {}), "system_prompt": as_text(system_prompt)}
    reading = Reading(asked, skip_missing=skip_unreadable)
    splits = splits_of(source, held_out, seed, reading)
    train, tests = kept_or_replaced(splits.train, splits.held_out, system_prompt, reading)
    for note in [*map(str, reading.dropped), *reading.notes]:
        warnings.warn(f"{reading.sources[0]}: {note}", TaskWarning, stacklevel=3)
    prompt = SYSTEM_PROMPT if isinstance(system_prompt, SystemPrompt) else system_prompt
    return Task(
        name or splits.name,
        train,
        tests,
        prompt,
        reading,
        evaluation_only=splits.evaluation_only,
    )


def as_text(system_prompt: str | SystemPrompt | None) -> str | None:
    """As the config's field has it: None for as in the data, empty for none."""
    return None if isinstance(system_prompt, SystemPrompt) else system_prompt or ""
