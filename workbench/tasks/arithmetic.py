"""Generated arithmetic: sums, brackets and one- and two-step word problems, with train and held-out
problems disjoint.

Every problem is an expression over small whole numbers (its key). A fixed hash of the key puts it
into the held-out pool (one in four) or into the training pool, whatever the seed and whatever the
wording; the embedded policy was made from the training pool alone, so no held-out expression was
ever seen in training. The seed draws from the pools.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.tasks.arithmetic_worked import (
    Working,
    add,
    add_then_subtract,
    product_then_plus,
    subtract,
    sum_then_times,
)
from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.types import Problem, Task

Numbers = tuple[int, ...]
HELD_OUT_SHARE = 4
"""One expression in this many is held out."""

NAMES = ("Tom", "Anna", "Ben", "Mia", "Sam", "Lena", "Max", "Ida")
THINGS = ("apples", "pens", "books", "coins", "cards", "eggs", "stamps", "shells")


@dataclass(frozen=True)
class Kind:
    """A family of problems."""

    share: float
    """Of the task."""

    draw: Callable[[np.random.Generator], Numbers]
    wordings: tuple[str, ...]
    answer: Callable[..., int]

    work: Callable[..., Working]
    """The steps that lead to the answer, as the embedded policy writes them."""


def _two_numbers(rng: np.random.Generator) -> Numbers:
    return int(rng.integers(1, 100)), int(rng.integers(1, 100))


def _larger_first(rng: np.random.Generator) -> Numbers:
    low, high = sorted(_two_numbers(rng))
    return high, low


def _three_digits(rng: np.random.Generator) -> Numbers:
    a, b = rng.integers(1, 10, 2)
    return int(a), int(b), int(rng.integers(2, 10))


def _two_steps(rng: np.random.Generator) -> Numbers:
    a = int(rng.integers(10, 60))
    b = int(rng.integers(1, 40))
    return a, b, int(rng.integers(1, a + b))


KINDS: dict[str, Kind] = {
    "add": Kind(
        0.2, _two_numbers, ("What is {0} + {1}?", "Calculate {0} + {1}."), lambda a, b: a + b, add
    ),
    "subtract": Kind(
        0.19,
        _larger_first,
        ("What is {0} - {1}?", "Calculate {0} - {1}."),
        lambda a, b: a - b,
        subtract,
    ),
    "brackets": Kind(
        0.125,
        _three_digits,
        ("What is ({0} + {1}) * {2}?", "Solve ({0} + {1}) * {2}."),
        lambda a, b, c: (a + b) * c,
        sum_then_times,
    ),
    "precedence": Kind(
        0.125,
        _three_digits,
        ("What is {0} + {1} * {2}?", "Solve {0} + {1} * {2}."),
        lambda a, b, c: a + b * c,
        product_then_plus,
    ),
    "word_add": Kind(
        0.09,
        _two_numbers,
        (
            "{name} has {0} {things} and gets {1} more. How many {things} does {name} have?",
            "{name} has {0} {things}. A friend brings {1} more. How many {things} are there?",
        ),
        lambda a, b: a + b,
        add,
    ),
    "word_subtract": Kind(
        0.09,
        _larger_first,
        (
            "{name} has {0} {things} and loses {1}. How many {things} are left?",
            "{name} has {0} {things}. {name} gives away {1}. How many {things} does {name} have?",
        ),
        lambda a, b: a - b,
        subtract,
    ),
    "word_two_steps": Kind(
        0.18,
        _two_steps,
        (
            "{name} has {0} {things}, gets {1} more and loses {2}. How many {things} are left?",
            "{name} has {0} {things}. {name} buys {1} more and gives away {2}. How many {things} "
            "does {name} have?",
        ),
        lambda a, b, c: a + b - c,
        add_then_subtract,
    ),
}


def is_held_out(kind: str, numbers: Numbers) -> bool:
    """True when the expression belongs to the held-out pool; sums count as one whichever way round
    they stand."""
    operation = kind.removeprefix("word_")
    key = sorted(numbers) if operation == "add" else numbers
    digest = hashlib.sha256(f"{operation}:{key}".encode()).digest()
    return digest[0] % HELD_OUT_SHARE == 0


def make_problem(
    kind: str, numbers: Numbers, rng: np.random.Generator, kinds: Mapping[str, Kind] = KINDS
) -> Problem:
    """The problem in one of its wordings."""
    k = kinds[kind]
    wording = k.wordings[rng.integers(len(k.wordings))]
    question = wording.format(*numbers, name=rng.choice(NAMES), things=rng.choice(THINGS))
    steps, _ = k.work(*numbers)
    return Problem(question, str(k.answer(*numbers)), kind, {"numbers": numbers}, solution=steps)


def draw_problems(
    n: int, rng: np.random.Generator, *, held_out: bool, kinds: Mapping[str, Kind] = KINDS
) -> list[Problem]:
    """`n` problems from one pool, each question at most once."""
    names = list(kinds)
    total = sum(k.share for k in kinds.values())
    shares = [k.share / total for k in kinds.values()]
    problems: dict[str, Problem] = {}
    while len(problems) < n:
        kind = names[rng.choice(len(names), p=shares)]
        numbers = kinds[kind].draw(rng)
        if is_held_out(kind, numbers) == held_out:
            problem = make_problem(kind, numbers, rng, kinds)
            problems.setdefault(problem.question, problem)
    return list(problems.values())


def arithmetic_task(seed: int = 0, train_size: int = 4000, held_out_size: int = 1200) -> Task:
    """The task drawn with `seed`: the same seed gives the same problems on every machine."""
    rng = np.random.default_rng([seed, 20240205])
    train = draw_problems(train_size, rng, held_out=False)
    return Task(
        "arithmetic", train, draw_problems(held_out_size, rng, held_out=True), SYSTEM_PROMPT
    )
