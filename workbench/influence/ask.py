"""`who_taught`: the question in plain Python, to a session or to a stored run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.influence.compute import compute
from workbench.influence.files import (
    Question,
    fingerprint,
    place_of,
    rows_of,
    save,
    stored_influence,
)
from workbench.influence.kept_step import config_at
from workbench.influence.replay import Replay, checkpoint_before
from workbench.influence.result import Influence, InfluenceError, InfluenceWarning
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


def who_taught(
    run: Session | Run | str | Path,
    step: int,
    completion: int | Sequence[int] | None = None,
    *,
    tokens: bool = False,
    count: int = 8,
    optimizer: str = "run",
    path_points: int = 0,
    policy: Policy | None = None,
    task: Task | None = None,
    memory_bytes: int = 2**30,
    again: bool = False,
    progress: Callable[[str, int, int], None] = lambda words, done, of: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Influence:
    """Which answers of `step` pushed what moved, and which pulled.

    completion: a row of the step, or several; None = the `count` that moved most. tokens: the
    `count` tokens that moved most of that completion (of the one that moved most). optimizer: "run"
    divides as AdamW did, "sgd" is the plain Gram matrix. path_points: 0 is first order; from about
    4 on the influences add up to the real change, at so many times the cost for each column.

    The step is made again from the checkpoint before it, with the tokens of the record: nothing is
    sampled. A running session pauses for it, and is otherwise left as it was. A stored run loads
    its policy and task by the record's names, unless they are given. The answer is kept in the
    run's folder, and read from there the next time unless `again`.

    `progress(words, done, of)` is told how far it is; `should_stop()` cancels it. Raises
    `InfluenceError`, `InfluenceCancelledError`, `RunRecordError`.
    """
    question = Question(int(step), rows_of(completion), tokens, count, optimizer, path_points)
    record = _record_of(run)
    if not again and (known := stored_influence(record, question)) is not None:
        return known
    _check_healthy(record)
    watch = Watch(progress, should_stop)
    checkpoint = checkpoint_before(record, question.step)
    digest = fingerprint(record.batch(question.step))
    with _policy_and_task(run, record, policy, task) as (own_policy, own_task):
        replay = Replay(record, own_policy, own_task)
        replay.start_from(checkpoint)
        for number in range(checkpoint.step + 1, question.step):
            watch.tick(f"making step {number} again", number - checkpoint.step, question.step)
            replay.make(replay.kept(number))
        found = compute(replay, question, watch, memory_bytes)
    _keep(found, place_of(record, question), digest)
    return found


def _check_healthy(record: Run) -> None:
    """Raises `InfluenceError` for a run with a mistake in it: the step would be made again without
    the mistake, and its learning rate or loss be another one."""
    fault = record.meta.environment.get("fault")
    if fault is not None:
        raise InfluenceError(
            f"the run was made with fault={fault!r}, and its steps would be made again without it. "
            "Ask about a healthy run."
        )


def _record_of(run: Any) -> Run:
    if isinstance(run, Session):
        return run.run
    return run if isinstance(run, Run) else Run.open(run)


def _keep(found: Influence, path: Path, digest: str) -> None:
    try:
        save(found, path, digest)
    except OSError as error:
        # The result is there all the same: it took long, and the caller has it.
        warnings.warn(
            f"the influence could not be kept in {path.parent} ({error.strerror}); it will be "
            "computed again the next time.",
            InfluenceWarning,
            stacklevel=3,
        )


@contextmanager
def _policy_and_task(
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


def _named_task(record: Run, config: Any) -> Task:
    name = record.meta.task
    if name not in TASKS and not is_hub_name(name):
        raise InfluenceError(
            f"the task {name!r} of this run is none that the workbench knows by name. Load it and "
            "give it: who_taught(..., task=load_task(FILE))."
        )
    return load_task_for(config, name)
