"""The rows of `workbench bench methods`: every method on the embedded policy, and the controls that
say what a gain is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.bench.published import BenchError
from workbench.config import METHODS, GRPOConfig

EVERY = 10
"""Steps between two evaluations."""
REWARD_MODEL_RATE = 5e-4
"""Of a copy of the embedded policy, which the paper's 2e-5 hardly moves in so few updates."""


@dataclass(frozen=True)
class Case:
    """One row: a method, and what it is rewarded by."""

    name: str
    method: str
    words: str
    """What it is, in a few words."""
    by_model: bool = False
    """Whether a reward model pays, and the gold answer is only watched."""
    shuffled: bool = False
    """Whether the rewards are dealt out at random: the control."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the config beside those of the method."""


CASES = {
    case.name: case
    for case in (
        *(Case(name, name, facts.words) for name, facts in METHODS.items()),
        Case(
            "grpo_reward_model",
            "grpo",
            "grpo on the reward model that iterative_grpo begins with, which is never retrained",
            by_model=True,
        ),
        Case(
            "control",
            "grpo",
            "grpo with the rewards dealt out at random: what it gains is no learning",
            shuffled=True,
        ),
    )
}
"""Name -> row, in the order of the table."""
CASES["iterative_grpo"] = Case(
    "iterative_grpo",
    "iterative_grpo",
    METHODS["iterative_grpo"].words,
    by_model=True,
    settings=dict(ref_model_sync_steps=EVERY, reward_model_learning_rate=REWARD_MODEL_RATE),
)


def cases_named(names: Sequence[str] | None) -> list[Case]:
    """The rows of these names; None: all. Raises `BenchError` for a name that is none."""
    unknown = [name for name in names or () if name not in CASES]
    if unknown:
        raise BenchError(
            f"--methods {unknown[0]!r:.80} is unknown. Choose some of {', '.join(CASES)}."
        )
    return [CASES[name] for name in names or CASES]


def config_of(case: Case, seed: int, steps: int, problems: int, teacher: Path) -> GRPOConfig:
    """The settings of one run: the embedded policy's own, but for what the case says."""
    changes: dict[str, Any] = dict(case.settings)
    if case.method == "distill":
        changes["teacher"] = str(teacher)
    if case.by_model:
        # The model pays; the gold answer beside it is recorded, and weighs nothing.
        changes["reward_weights"] = (1.0, 0.0)
    plain = GRPOConfig(
        seed=seed,
        max_steps=steps,
        eval_steps=EVERY,
        num_eval_problems=problems,
        save_steps=steps,
        save_total_limit=1,
    )
    return plain.with_method(case.method, **changes)
