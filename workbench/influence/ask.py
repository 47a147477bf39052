"""`who_taught`: the question in plain Python, to a session or to a stored run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.influence.begin import before_step, record_of
from workbench.influence.compute import compute
from workbench.influence.files import (
    Question,
    fingerprint,
    place_of,
    rows_of,
    save,
    stored_influence,
)
from workbench.influence.result import Influence, InfluenceWarning
from workbench.influence.updates import Watch
from workbench.policy.policy import Policy
from workbench.runs import Run
from workbench.tasks.types import Task
from workbench.training.session import Session


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
    record = record_of(run)
    if not again and (known := stored_influence(record, question)) is not None:
        return known
    watch = Watch(progress, should_stop)
    digest = fingerprint(record.batch(question.step))
    with before_step(run, question.step, watch, policy, task) as replay:
        found = compute(replay, question, watch, memory_bytes)
    _keep(found, place_of(record, question), digest)
    return found


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
