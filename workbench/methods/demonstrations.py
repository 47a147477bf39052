"""Whether a task can be imitated: every problem has a worked solution, and it fits."""

from __future__ import annotations

from workbench.config import ConfigError, GRPOConfig
from workbench.policy.policy import Policy
from workbench.tasks.types import Task


def check_demonstrations(policy: Policy, task: Task, config: GRPOConfig) -> None:
    """Raises `TaskError` for a training problem without a worked solution, `ConfigError` where one
    has more tokens than `max_completion_length`.

    A text has no more tokens than bytes and an end token, so only those that might be too long are
    encoded.
    """
    limit = config.max_completion_length
    lengths: dict[str, int] = {}
    for problem in task.train:
        text = task.demonstration(problem)
        if len(text.encode()) < limit:
            continue
        lengths[problem.question] = len(policy.encode_completion(text, task.messages(problem)))
    too_long = [question for question, length in lengths.items() if length > limit]
    if not too_long:
        return
    worst = max(too_long, key=lengths.__getitem__)
    raise ConfigError(
        f"{len(too_long)} of {len(task.train)} worked solutions are longer than "
        f"max_completion_length={limit}: that of {worst[:60]!r} has {lengths[worst]} tokens. Raise "
        "it (--set max_completion_length=), or leave such problems out of the data."
    )
