"""From problems to the examples of a kind, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.rewards.model.collect import (
    Collecting,
    OnProgress,
    Samples,
    gold_scored_samples,
    sample,
)
from workbench.rewards.model.data import Example, outcomes_of, pairs_of
from workbench.rewards.model.roll_ins import label_steps
from workbench.rewards.model.scalar import KINDS, RewardModelError
from workbench.rewards.score import RewardSet
from workbench.rollout.types import RolloutEngine
from workbench.tasks.types import Problem, Task

Progress = Callable[[str], OnProgress]
"""Gives what hears how much of a named piece of work is done."""


def silent(name: str) -> OnProgress:
    """A progress that nobody looks at."""
    return lambda done, of: None


def sample_examples(
    kind: str,
    policy: Samples,
    engine: RolloutEngine,
    task: Task,
    problems: Sequence[Problem],
    gold: RewardSet,
    how: Collecting,
    *,
    steps_by: str = "auto",
    pairs_per_problem: int = 4,
    progress: Progress = silent,
) -> list[Example]:
    """What a reward model of `kind` learns from, or is judged by: completions that the policy
    samples, with what the gold reward says of them. Raises `RewardModelError` for another kind."""
    if kind not in KINDS:
        raise RewardModelError(f"kind={kind!r} is unknown. Choose one of {', '.join(KINDS)}.")
    sampled = sample(policy, engine, task, problems, how, on_progress=progress("sampling"))
    if kind == "process":
        hear = progress("rolling in")
        labelled = label_steps(
            policy, engine, sampled, gold, how, steps_by=steps_by, on_progress=hear
        )
        return list(labelled)
    scored = gold_scored_samples(sampled, gold)
    if kind == "pairs":
        return list(pairs_of(scored, most=pairs_per_problem, seed=how.seed))
    return list(outcomes_of(scored))
