"""`workbench task`: how a file of problems is read, and what a policy would get of it, before
anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from workbench.commands.printing import say_aside, say_json, say_lines
from workbench.rewards import unreadable_golds, with_readable_golds
from workbench.rewards.answers.golds import Unreadable
from workbench.tasks import Task, TaskWarning, load_task
from workbench.tasks.description import groups_of, worked_solutions
from workbench.tasks.for_config import prompt_of
from workbench.tasks.reading.report import PLACES


def task_command(
    source: str,
    *,
    policy: str | None,
    keys: dict[str, str | None],
    system_prompt: str | None,
    skip_unreadable: bool,
    seed: int,
    lengths: dict[str, int | None],
    as_json: bool,
) -> None:
    """See `workbench task --help`."""
    with warnings.catch_warnings():
        # The description says the same.
        warnings.simplefilter("ignore", TaskWarning)
        task = load_task(
            source,
            seed,
            **keys,
            system_prompt=prompt_of(system_prompt),
            unreadable_golds="skip" if skip_unreadable else "refuse",
        )
        unreadable = unreadable_golds(task)
        if skip_unreadable:
            task = with_readable_golds(task, "skip")
    prompts = None
    if policy is not None:
        prompts = _prompts(policy, task, lengths)
    if as_json:
        golds = [{"gold": str(item), "reason": item.reason} for item in unreadable]
        values = _values(task) | {"unreadable": golds, "skipped": skip_unreadable}
        say_json(values | {"prompts": prompts and _prompt_values(prompts)})
        return
    say_lines(task.describe())
    if unreadable:
        say_lines(_told(unreadable, skip_unreadable))
    if prompts is not None:
        say_lines(str(prompts))
    else:
        say_aside("What a policy gets of it: add --policy P.")


def _told(unreadable: Sequence[Unreadable], skipped: bool) -> str:
    """The golds that cannot be read: how many, what becomes of them, and the first few."""
    becomes = "`workbench train` refuses them; leave them out with --skip-unreadable"
    if skipped:
        becomes = "left out, as --skip-unreadable says"
    lines = [f"golds that cannot be read: {len(unreadable)} ({becomes})"]
    lines += [f"  {item}" for item in unreadable[:PLACES]]
    if len(unreadable) > PLACES:
        lines.append(f"  and {len(unreadable) - PLACES} more")
    return "\n".join([*lines, f"  the first: {unreadable[0].reason}"])


def _prompts(policy: str, task: Task, lengths: dict[str, int | None]) -> Any:
    from workbench.commands.train import make_config
    from workbench.evaluation.preview import preview
    from workbench.policy import load_policy

    # The limits that `workbench train` would set for this policy.
    given = {name: length for name, length in lengths.items() if length is not None}
    config = make_config(policy, None, given, None)
    return preview(
        load_policy(policy, trainable=False),
        task,
        config.max_prompt_length,
        config.max_completion_length,
    )


def _values(task: Task) -> dict[str, Any]:
    reading = task.reading
    values: dict[str, Any] = {
        "task": task.name,
        "train": len(task.train),
        "held_out": len(task.held_out),
        "worked_solutions": worked_solutions(task),
    }
    for name, counts in groups_of(task).items():
        # A list, because JSON's names are text and a level may be a number.
        values[name] = [{"name": group, "problems": count} for group, count in counts.items()]
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
        "limit": prompts.why,
        "too_long": prompts.too_long,
        "share_too_long": prompts.too_long / len(prompts.lengths),
    }
