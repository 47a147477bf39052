"""The three habits that the embedded policy is taught, so that GRPO has something to select.

For each arithmetic problem there is a right working and a wrong one that people really make: the
dropped carry, the smaller digit taken from the larger one, precedence ignored, stopping after the
first of two steps. A completion is one of: right and tagged, right but without tags (scores
nothing), wrong and tagged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from workbench.tasks.arithmetic import KINDS
from workbench.tasks.arithmetic_worked import Working, add, subtract, sum_then_times
from workbench.tasks.types import Problem

HABITS = ("right", "untagged", "wrong")
TAUGHT: dict[str, float] = dict(zip(HABITS, (0.29, 0.33, 0.38), strict=True))
"""How often each habit is shown while arithmetic is taught: nearly alike, so that the right working
is learned as well as the wrong one."""


def _shares(right: float, untagged: float, wrong: float) -> dict[str, float]:
    return dict(zip(HABITS, (right, untagged, wrong), strict=True))


SETTLED: dict[str, dict[str, float]] = {
    "add": _shares(0.14, 0.20, 0.66),
    "word_add": _shares(0.14, 0.20, 0.66),
    "subtract": _shares(0.15, 0.20, 0.65),
    "word_subtract": _shares(0.16, 0.20, 0.64),
    "brackets": _shares(0.22, 0.22, 0.56),
    "word_two_steps": _shares(0.18, 0.22, 0.60),
    "precedence": _shares(0.32, 0.22, 0.46),
}
"""How often each habit is shown in the last round, by kind of problem. The wrong working is so much
likelier than the right one that the drift of a run with rewards that say nothing turns few answers
over, and not so much that a run with true rewards could not find the right one
(`benchmarks/controls.py` measures both). Precedence begins nearest to the tie: its wrong working is
the right one of brackets, so that learning brackets pushes it the wrong way at first."""

RIGHT: dict[str, Callable[..., Working]] = {name: kind.work for name, kind in KINDS.items()}
WRONG: dict[str, Callable[..., Working]] = {
    "add": lambda a, b: add(a, b, carry_kept=False),
    "word_add": lambda a, b: add(a, b, carry_kept=False),
    "subtract": lambda a, b: subtract(a, b, borrow=False),
    "word_subtract": lambda a, b: subtract(a, b, borrow=False),
    "brackets": lambda a, b, c: (f"{a}+{b}={a + b}", a + b),
    "precedence": sum_then_times,
    "word_two_steps": lambda a, b, c: add(a, b),
}


def completion(problem: Problem, habit: str) -> str:
    """What a policy with that habit answers to the problem."""
    workings = WRONG if habit == "wrong" else RIGHT
    steps, result = workings[problem.kind](*problem.columns["numbers"])
    if habit == "untagged":
        return f"{steps} so {result}"
    return f"<think>{steps}</think><answer>{result}</answer>"


def sample_habit(rng: np.random.Generator, shares: Mapping[str, float] = TAUGHT) -> str:
    """A habit drawn by its share."""
    return str(rng.choice(list(shares), p=list(shares.values())))
