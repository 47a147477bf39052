"""Held-out accuracy: greedy, strict, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.evaluation.answered import counts, grouped, verdicts
from workbench.evaluation.estimators import wilson_interval
from workbench.evaluation.sampled import HowToAnswer, answer_all
from workbench.policy.policy import Policy
from workbench.rewards.functions import UNDECIDED
from workbench.rollout.types import RolloutEngine
from workbench.runs.step_record import Evaluation
from workbench.tasks.types import Problem, Task


def greedy_accuracy(
    engine: RolloutEngine,
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    max_completion_length: int,
    *,
    batch_size: int = 128,
    split: str = "held_out",
) -> Evaluation:
    """Strict greedy accuracy: the whole completion has the form and the answer is right. Counts by
    kind in `extra`, and how many answers were left out because they could not be compared in time
    (`answers_not_compared`), where there are any."""
    how = HowToAnswer(0, max_completion_length, batch_size=batch_size)
    judged = verdicts(answer_all(engine, policy, task, problems, how))
    correct, n = counts(judged)
    low, high = wilson_interval(correct, n)
    extra: dict[str, Any] = {
        "by_kind": {kind: counts(of_kind) for kind, of_kind in grouped(judged, "kind").items()}
    }
    if n < len(problems):
        extra[UNDECIDED] = len(problems) - n
    return Evaluation(split, n, correct, low, high, extra)
