"""Whose step is to be made again: the record, the policy and the task of a session or of a stored
run, and the policy as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.influence.kept_step import config_at
from workbench.influence.replay import Replay, checkpoint_before
from workbench.influence.result import InfluenceError
from workbench.influence.updates import Watch
from workbench.policy import load_policy
from workbench.policy.policy import Policy
from workbench.runs import Run
from workbench.tasks import TASKS, is_hub_name
from workbench.tasks.for_config import load_task_for
from workbench.tasks.types import Task
from workbench.training.same_run import check_same_problems
from workbench.training.session import Session
from workbench.training.session.turn import TURN


def check_healthy(record: Run) -> None:
    """Raises `InfluenceError` for a run with a mistake in it: the step would be made again without
    the mistake, and its learning rate or loss be another one."""
    fault = record.meta.environment.get("fault")
    if fault is not None:
        raise InfluenceError(
            f"the run was made with fault={fault!r}, and its steps would be made again without it. "
            "Ask about a healthy run."
        )


def record_of(run: Any) -> Run:
    """The record of a session, of a run, or at a path."""
    if isinstance(run, Session):
        return run.run
    return run if isinstance(run, Run) else Run.open(run)


@contextmanager
def policy_and_task(
    run: Any, record: Run, policy: Policy | None, task: Task | None
) -> Iterator[tuple[Policy, Task]]:
    """The policy and the task of the run; afterwards the policy is as it was."""
    config = config_at(record, 1)
    trainer = None
    if isinstance(run, Session):
        run.pause()
        # A listener or a reward function that asks in the middle of a step cannot wait for it.
        if run.status == "running":
            raise InfluenceError(
                f"the session is still busy ({run.activity}). Ask when it rests, not from a "
                "reward function or a listener of it."
            )
        trainer = run.trainer
    if policy is None:
        policy = (
            load_policy(record.meta.policy, config=config) if trainer is None else (trainer.policy)
        )
    if task is None:
        task = _named_task(record, config) if trainer is None else trainer.task
    check_same_problems(record, task)
    # Whoever trains this model rests meanwhile, and finds its weights as they were.
    with TURN.to_use(policy.model), policy.own_weights_kept():
        try:
            yield policy, task
        finally:
            for parameter in policy.trainable_parameters():
                parameter.grad = None


def task_of_run(record: Run) -> Task:
    """The task that a stored run names, with the run's own columns and split. Raises
    `InfluenceError` for one that is not known by name."""
    return _named_task(record, config_at(record, 1))


def _named_task(record: Run, config: Any) -> Task:
    name = record.meta.task
    if name not in TASKS and not is_hub_name(name):
        raise InfluenceError(
            f"the task {name!r} of this run is none that the workbench knows by name. Load it and "
            "give it as task=load_task(FILE)."
        )
    return load_task_for(config, name)


@contextmanager
def before_step(
    run: Any, step: int, watch: Watch, policy: Policy | None = None, task: Task | None = None
) -> Iterator[Replay]:
    """A replay that stands where `step` began: from the newest checkpoint before it, with the steps
    between made again. A running session pauses for it; its policy is as it was afterwards. Raises
    `InfluenceError`, `InfluenceCancelledError`, `RunRecordError`."""
    record = record_of(run)
    check_healthy(record)
    checkpoint = checkpoint_before(record, step)
    with policy_and_task(run, record, policy, task) as (own_policy, own_task):
        replay = Replay(record, own_policy, own_task)
        replay.start_from(checkpoint)
        for number in range(checkpoint.step + 1, step):
            watch.tick(f"making step {number} again", number - checkpoint.step, step)
            replay.make(replay.kept(number))
        yield replay
