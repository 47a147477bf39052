"""The three habits that the embedded policy is taught, so that GRPO has something to select.

For each arithmetic problem there is a right working and a wrong one that people really make: the
dropped carry, the smaller digit taken from the larger one, precedence ignored, stopping after the
first of two steps. A completion is one of: right and tagged, right but without tags (scores
nothing), wrong and tagged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.tasks.types import Problem

SHARES = {"right": 0.29, "untagged": 0.33, "wrong": 0.38}
"""How often each habit is shown; the two bad ones are what greedy decoding picks."""

Working = tuple[str, int]
"""The written steps and the result that they lead to."""


def add(a: int, b: int, carry_kept: bool = True) -> Working:
    """Digit by digit from the right: 47 + 38 is '7+8=15 4+3+1=8'."""
    ones = a % 10 + b % 10
    steps = f"{a % 10}+{b % 10}={ones}"
    if a < 10 and b < 10:
        return steps, ones
    carry = ones // 10 if carry_kept else 0
    tens = a // 10 + b // 10 + carry
    steps += f" {a // 10}+{b // 10}" + (f"+{carry}" if carry else "") + f"={tens}"
    return steps, tens * 10 + ones % 10


def subtract(a: int, b: int, borrow: bool = True) -> Working:
    """Digit by digit from the right: 83 - 47 is '13-7=6 7-4=3'; without the borrow '7-3=4
    8-4=4'."""
    x = a % 10
    y = b % 10
    tens = a // 10
    if x < y and borrow:
        x = x + 10
        tens = tens - 1
    x, y = (x, y) if x >= y else (y, x)
    steps = f"{x}-{y}={x - y}"
    if a < 10 and b < 10:
        return steps, x - y
    top = tens - b // 10
    return f"{steps} {tens}-{b // 10}={top}", top * 10 + x - y


def sum_then_times(a: int, b: int, c: int) -> Working:
    """(a + b) * c."""
    return f"{a}+{b}={a + b} {a + b}*{c}={(a + b) * c}", (a + b) * c


def product_then_plus(a: int, b: int, c: int) -> Working:
    """a + b * c."""
    return f"{b}*{c}={b * c} {a}+{b * c}={a + b * c}", a + b * c


def add_then_subtract(a: int, b: int, c: int) -> Working:
    """(a + b) - c, both steps written out."""
    first, total = add(a, b)
    second, result = subtract(total, c)
    return f"{first} {total}-{c} {second}", result


RIGHT: dict[str, Callable[..., Working]] = {
    "add": add,
    "word_add": add,
    "subtract": subtract,
    "word_subtract": subtract,
    "brackets": sum_then_times,
    "precedence": product_then_plus,
    "word_two_steps": add_then_subtract,
}
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
