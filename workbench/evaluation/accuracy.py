"""Held-out accuracy: greedy, strict, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from workbench.policy.policy import Policy
from workbench.rewards import strict_correct
from workbench.rollout.types import RolloutEngine, Sampling
from workbench.runs.step_record import Evaluation
from workbench.tasks.types import Problem, Task


def wilson_interval(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which stays inside [0, 1] and is right for shares
    near 0 and 1."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 but for rounding: no 1e-17 is shown.
    low = max(centre - half, 0.0) if correct > 0 else 0.0
    high = min(centre + half, 1.0) if correct < n else 1.0
    return low, high


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
    kind in `extra`."""
    answers = greedy_answers(engine, policy, task, problems, max_completion_length, batch_size)
    right = [strict_correct(text, p.answer) for text, p in zip(answers, problems, strict=True)]
    kinds: dict[str, list[int]] = {}
    for problem, is_right in zip(problems, right, strict=True):
        counts = kinds.setdefault(problem.kind, [0, 0])
        counts[0] += is_right
        counts[1] += 1
    low, high = wilson_interval(sum(right), len(right))
    return Evaluation(split, len(right), sum(right), low, high, {"by_kind": kinds})
