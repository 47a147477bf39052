"""`workbench task`: how a file of problems is read, and what a policy would get of it, before
anything is trained."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any

from workbench.commands.printing import say_aside, say_json, say_lines
from workbench.tasks import Task, TaskWarning, load_task
from workbench.tasks.for_config import prompt_of


def task_command(
    source: str,
    *,
    policy: str | None,
    keys: dict[str, str | None],
    system_prompt: str | None,
    seed: int,
    max_prompt_length: int | None,
    as_json: bool,
) -> None:
    """See `workbench task --help`."""
    with warnings.catch_warnings():
        # The description says the same.
        warnings.simplefilter("ignore", TaskWarning)
        task = load_task(source, seed, **keys, system_prompt=prompt_of(system_prompt))
    prompts = None
    if policy is not None:
        prompts = _prompts(policy, task, max_prompt_length)
    if as_json:
        say_json(_values(task) | {"prompts": prompts and _prompt_values(prompts)})
        return
    say_lines(task.describe())
    if prompts is not None:
        say_lines(str(prompts))
    else:
        say_aside("What a policy gets of it: add --policy P.")


def _prompts(policy: str, task: Task, max_prompt_length: int | None) -> Any:
    from workbench.commands.train import lengths_of
    from workbench.config import GRPOConfig
    from workbench.evaluation.preview import preview
    from workbench.policy import load_policy

    # The limit that `workbench train` would set for this policy.
    usual = GRPOConfig().max_prompt_length
    limit = max_prompt_length or lengths_of(policy).get("max_prompt_length") or usual
    return preview(load_policy(policy, trainable=False), task, limit)


def _values(task: Task) -> dict[str, Any]:
    reading = task.reading
    values: dict[str, Any] = {
        "task": task.name,
        "train": len(task.train),
        "held_out": len(task.held_out),
    }
    if reading is not None:
        values |= {
            "rows": reading.rows,
            "sources": reading.sources,
            "found": dict(reading.found),
            "examples": [asdict(example) for example in reading.shown_examples()],
            "dropped": [asdict(dropped) for dropped in reading.dropped],
            "notes": [*reading.notes, *reading.as_told],
        }
    return values


def _prompt_values(prompts: Any) -> dict[str, Any]:
    return {
        "first": prompts.text,
        "tokens": prompts.tokens,
        "chat_template": not prompts.without_template,
        "longest": max(prompts.lengths),
        "max_prompt_length": prompts.limit,
        "too_long": prompts.too_long,
        "share_too_long": prompts.too_long / len(prompts.lengths),
    }
