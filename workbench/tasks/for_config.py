"""A task as a run's config says, and a config that says how its task was read."""

from __future__ import annotations

from typing import Any

from workbench.config import KEY_FIELDS, ConfigError, GRPOConfig
from workbench.tasks import AS_IN_DATA, load_task
from workbench.tasks.types import Task

READING_FIELDS = (*KEY_FIELDS, "system_prompt")
"""Fields of the config that say how data is read."""


def load_task_for(config: GRPOConfig, source: Any) -> Task:
    """The task from `source`, with the seed and the keys of `config`. Raises `TaskError`."""
    return load_task(
        source,
        config.seed,
        **{name: getattr(config, name) for name in KEY_FIELDS},
        system_prompt=prompt_of(config.system_prompt),
        unreadable_golds=config.unreadable_golds,
    )


def prompt_of(text: str | None) -> Any:
    """What `load_task` calls the config's `system_prompt`."""
    if text is None:
        return AS_IN_DATA
    return text or None


def as_read(config: GRPOConfig, task: Task) -> GRPOConfig:
    """The config that says how `task` was read, so that its record does, and a resumed run reads
    the same. Raises `ConfigError` where it says otherwise, `TaskError` for a task that has nothing
    to train on."""
    task.check_trainable()
    read = {} if task.reading is None else task.reading.asked
    for name in READING_FIELDS:
        said = getattr(config, name)
        if said is not None and said != read.get(name):
            raise ConfigError(
                f"the config says {name}={said!r:.80}, and the task {task.name!r:.80} was loaded "
                f"with {name}={read.get(name)!r:.80}. Give it to load_task as well, or leave it "
                "out of the config."
            )
    changes = {name: value for name, value in read.items() if value is not None}
    return config.replace(**changes) if changes else config
