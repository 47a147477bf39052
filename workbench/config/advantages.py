"""What is known about each way to make an advantage of the rewards of a group, without torch.

To add one: its row in `ESTIMATORS` below, its function in `workbench/objective/estimators.py`, its
values by enumeration in `tests/objective/test_estimators.py`. The choices of `advantage_estimator`,
the rules between settings and the widgets' words read the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EstimatorFacts:
    """The facts of one estimator. No field has a default: what is forgotten fails at import."""

    words: str
    """What it is, in a few words."""

    source: str
    """The paper."""

    uses_baseline: bool
    """True where advantage_baseline, scale_rewards and multi_objective_aggregation make it; False
    where it makes the whole advantage of the summed rewards by itself."""

    uses_k: bool
    """True where advantage_k plays a part."""

    least_reward: float | None
    """The lowest summed reward that it makes sense for; None = any."""


ESTIMATORS = {
    "baseline": EstimatorFacts(
        words="the reward minus a baseline, over a std",
        source="DeepSeekMath, arXiv 2402.03300, section 4.1.2",
        uses_baseline=True,
        uses_k=False,
        least_reward=None,
    ),
    "maxrl": EstimatorFacts(
        words=(
            "the reward minus the group's mean, over that mean: rare successes of hard prompts "
            "weigh more, as in the likelihood of a right answer"
        ),
        source="MaxRL, arXiv 2602.02710",
        uses_baseline=False,
        uses_k=False,
        least_reward=0.0,
    ),
    "pass_at_k": EstimatorFacts(
        words=(
            "the best reward of k completions that this one is among, minus that of any k of the "
            "group, over its std"
        ),
        source="Pass@k Training, arXiv 2508.10751, eq. 14 and 15",
        uses_baseline=False,
        uses_k=True,
        least_reward=None,
    ),
}
"""advantage_estimator -> what is known about it."""

BASELINE_FIELDS = {
    "advantage_baseline": "group",
    "scale_rewards": "group",
    "multi_objective_aggregation": "sum_then_normalize",
}
"""The fields that only an estimator with a baseline reads, and their defaults."""


def estimator_problems(config: Any) -> list[str]:
    """What cannot go together with the config's estimator, a sentence each."""
    name = config.advantage_estimator
    facts = ESTIMATORS[name]
    idle = [
        f"{field}={getattr(config, field)!r}"
        for field, default in BASELINE_FIELDS.items()
        if getattr(config, field) != default and not facts.uses_baseline
    ]
    problems = []
    if idle:
        problems.append(
            f"advantage_estimator={name!r} makes the whole advantage by itself, so "
            f"{' and '.join(idle)} would have no effect. Leave it at its default, or set "
            "advantage_estimator='baseline'."
        )
    if facts.uses_k and not 1 <= config.advantage_k < config.num_generations:
        problems.append(
            f"advantage_k={config.advantage_k} must be from 1 to num_generations - 1 = "
            f"{config.num_generations - 1}: with k completions in a group there is one choice of "
            "k, and nothing to compare."
        )
    return problems
