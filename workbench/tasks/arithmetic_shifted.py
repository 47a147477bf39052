"""The arithmetic out of its distribution: each task shifts one thing against `arithmetic` and keeps
the rest, so that what a policy has learnt can be asked for where it was not trained.

The seeds claim gains out of the training's domain; `workbench eval --task arithmetic_longer` (or
another of these) before and after a run says what is true of one's own. The held-out problems of
`arithmetic_wording` and `arithmetic_operators` are expressions of arithmetic's own held-out pool;
the two others have no expression in common with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.tasks.arithmetic import KINDS, Kind, Numbers, draw_problems
from workbench.tasks.arithmetic_worked import add_subtract_add, sum_times_then_minus
from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.types import Task

# ------------------------------------------------------------ longer numbers


def _two_long_numbers(rng: np.random.Generator) -> Numbers:
    return int(rng.integers(100, 1000)), int(rng.integers(100, 1000))


def _longer_first(rng: np.random.Generator) -> Numbers:
    low, high = sorted(_two_long_numbers(rng))
    return high, low


def _two_long_and_a_digit(rng: np.random.Generator) -> Numbers:
    a, b = rng.integers(10, 100, 2)
    return int(a), int(b), int(rng.integers(2, 10))


LONGER: dict[str, Kind] = {
    "add": replace(KINDS["add"], draw=_two_long_numbers),
    "subtract": replace(KINDS["subtract"], draw=_longer_first),
    "brackets": replace(KINDS["brackets"], draw=_two_long_and_a_digit),
    "word_add": replace(KINDS["word_add"], draw=_two_long_numbers),
    "word_subtract": replace(KINDS["word_subtract"], draw=_longer_first),
}
"""Numbers of three digits (in brackets two), in arithmetic's own wordings."""

# ------------------------------------------------------------ one step more


def _three_steps(rng: np.random.Generator) -> Numbers:
    a = int(rng.integers(10, 60))
    b = int(rng.integers(1, 40))
    c = int(rng.integers(1, a + b))
    return a, b, c, int(rng.integers(1, 40))


def _four_digits(rng: np.random.Generator) -> Numbers:
    a, b, c = (int(x) for x in rng.integers(2, 10, 3))
    # The result stays above 0, as everywhere in the task.
    return a, b, c, int(rng.integers(1, (a + b) * c))


THREE_STEPS: dict[str, Kind] = {
    "word_three_steps": Kind(
        0.5,
        _three_steps,
        (
            "{name} has {0} {things}, gets {1} more, loses {2} and finds {3}. How many {things} "
            "does {name} have?",
            "{name} has {0} {things}. {name} buys {1} more, gives away {2} and buys {3} more. How "
            "many {things} are there?",
        ),
        lambda a, b, c, d: a + b - c + d,
        add_subtract_add,
    ),
    "brackets_three_steps": Kind(
        0.5,
        _four_digits,
        ("What is ({0} + {1}) * {2} - {3}?", "Solve ({0} + {1}) * {2} - {3}."),
        lambda a, b, c, d: (a + b) * c - d,
        sum_times_then_minus,
    ),
}
"""Three operations in place of one or two."""

# ------------------------------------------------------------ other wordings

_NEW_WORDINGS = {
    "add": ("{0} + {1} = ?", "Work out {0} + {1}."),
    "subtract": ("{0} - {1} = ?", "Work out {0} - {1}."),
    "brackets": ("({0} + {1}) * {2} = ?", "Work out ({0} + {1}) * {2}."),
    "precedence": ("{0} + {1} * {2} = ?", "Work out {0} + {1} * {2}."),
    "word_add": (
        "There are {0} {things} in a box. {name} puts in {1} more. How many are in the box?",
        "{name} finds {0} {things} in the morning and {1} at night. How many is that?",
    ),
    "word_subtract": (
        "Of {0} {things} in a box {name} takes {1}. How many are still in the box?",
        "There were {0} {things}; {1} broke. How many are whole?",
    ),
    "word_two_steps": (
        "A box holds {0} {things}. {name} puts in {1} and takes out {2}. How many are in the box?",
        "{0} {things} were there, {1} came, {2} went. How many are there now?",
    ),
}
WORDING = {name: replace(KINDS[name], wordings=words) for name, words in _NEW_WORDINGS.items()}
"""The same expressions in sentences that training does not have."""

_IN_WORDS = {
    "add": ("What is {0} plus {1}?", "What is the sum of {0} and {1}?"),
    "subtract": ("What is {0} minus {1}?", "What is {0} less {1}?"),
    "brackets": (
        "What is {0} plus {1}, all times {2}?",
        "What is the sum of {0} and {1} times {2}?",
    ),
    "precedence": ("What is {0} plus {1} times {2}?", "Add {0} to the product of {1} and {2}."),
}
OPERATORS = {name: replace(KINDS[name], wordings=words) for name, words in _IN_WORDS.items()}
"""Plus, minus and times as words."""


def _shifted(name: str, kinds: dict[str, Kind], seed: int) -> Task:
    """A thousand problems of either pool."""
    rng = np.random.default_rng([seed, 20240206])
    train = draw_problems(1000, rng, held_out=False, kinds=kinds)
    held_out = draw_problems(1000, rng, held_out=True, kinds=kinds)
    return Task(name, train, held_out, SYSTEM_PROMPT)


def arithmetic_longer_task(seed: int = 0) -> Task:
    """Numbers of three digits, which arithmetic has none of."""
    return _shifted("arithmetic_longer", LONGER, seed)


def arithmetic_three_steps_task(seed: int = 0) -> Task:
    """Three operations, where arithmetic has at most two."""
    return _shifted("arithmetic_three_steps", THREE_STEPS, seed)


def arithmetic_wording_task(seed: int = 0) -> Task:
    """Arithmetic's held-out expressions in other sentences."""
    return _shifted("arithmetic_wording", WORDING, seed)


def arithmetic_operators_task(seed: int = 0) -> Task:
    """Arithmetic's held-out expressions with the operators in words."""
    return _shifted("arithmetic_operators", OPERATORS, seed)
