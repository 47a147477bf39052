"""Held-out accuracy: greedy, strict, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from workbench.evaluation.estimators import wilson_interval
from workbench.policy.policy import Policy
from workbench.rewards import strict_correct
from workbench.rewards.functions import UNDECIDED
from workbench.rollout.types import RolloutEngine, Sampling
from workbench.runs.step_record import Evaluation
from workbench.tasks.types import Problem, Task


def greedy_answers(
    engine: RolloutEngine,
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    max_completion_length: int,
    batch_size: int,
) -> list[str]:
    """One greedy completion for each problem, as text; prompts of similar length go together."""
    prompts = [policy.encode_prompt(task.messages(problem)) for problem in problems]
    # Little padding, when a batch holds prompts of one length.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    greedy = Sampling(max_completion_length, temperature=0.0)
    unused = torch.Generator()  # nothing is drawn, so an evaluation does not move the training's
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rollout = engine.generate([prompts[i] for i in chosen], 1, greedy, unused)
        for i, ids in zip(chosen, rollout.completion_lists(), strict=True):
            answers[i] = policy.decode(ids, task.messages(problems[i]))
    return answers


def evaluate(
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
    answers = greedy_answers(engine, policy, task, problems, max_completion_length, batch_size)
    verdicts = [strict_correct(text, p.answer) for text, p in zip(answers, problems, strict=True)]
    # Not known to be right is not known to be wrong.
    decided = [
        (problem, verdict)
        for problem, verdict in zip(problems, verdicts, strict=True)
        if verdict is not None
    ]
    kinds: dict[str, list[int]] = {}
    for problem, is_right in decided:
        counts = kinds.setdefault(problem.kind, [0, 0])
        counts[0] += is_right
        counts[1] += 1
    correct = sum(is_right for _, is_right in decided)
    low, high = wilson_interval(correct, len(decided))
    extra: dict[str, Any] = {"by_kind": kinds}
    if len(decided) < len(problems):
        extra[UNDECIDED] = len(problems) - len(decided)
    return Evaluation(split, len(decided), correct, low, high, extra)
