"""The three habits that the embedded policy is taught, so that GRPO has something to select.

For each arithmetic problem there is a right working and a wrong one that people really make: the
dropped carry, the smaller digit taken from the larger one, precedence ignored, stopping after the
first of two steps. A completion is one of: right and tagged, right but without tags (scores
nothing), wrong and tagged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.tasks.arithmetic import KINDS
from workbench.tasks.arithmetic_worked import Working, add, subtract, sum_then_times
from workbench.tasks.types import Problem

SHARES = {"right": 0.29, "untagged": 0.33, "wrong": 0.38}
"""How often each habit is shown; the two bad ones are what greedy decoding picks."""

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


def sample_habit(rng: np.random.Generator) -> str:
    """A habit drawn by its share."""
    return str(rng.choice(list(SHARES), p=list(SHARES.values())))
