"""What a task calls the kinds of its completions: what a policy does, paid for or not.

The page "Behaviours" shows how the kinds' shares move over a run. To name those of a task of your
own, before the dashboard is made:

    from workbench.tasks.behaviours import BEHAVIOURS, Behaviours
    BEHAVIOURS["my task"] = Behaviours(kinds=("right", "wrong"), right=("right",), kind_of=my_kind)

where the key is the task's name in the record, and `my_kind(prompt, gold, completion)` answers with
one of the kinds. Where a task has no row the page goes by what each reward function paid.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from workbench.tasks.format import parse, tagged_answer

_NUMBER = re.compile(r"-?\d+")
_MIXED = re.compile(r"(\(?)(\d+) \+ (\d+)\)? \* (\d+)")


@dataclass(frozen=True)
class Behaviours:
    """The kinds of a task's completions."""

    kinds: tuple[str, ...]
    """From the best to the worst; the page stacks them in this order, from below."""

    right: tuple[str, ...]
    """Those that are right. One that is not, and is paid more than these are on average, is shown
    as hacked."""

    kind_of: Callable[[str, str, str], str]
    """From prompt, gold answer and completion to its kind. The texts may hold anything."""


RIGHT, UNTAGGED = "right, tagged", "right, untagged"
CARRY, PRECEDENCE, WRONG, NO_ANSWER = "dropped carry", "precedence ignored", "wrong", "no answer"


def arithmetic_kind(prompt: str, gold: str, completion: str) -> str:
    """What an answer to a small sum is: right in the form that is asked for or in another, or which
    slip leads to it.

    Dropped carry: off by just ten or a hundred, as where a carry or a borrowing was forgotten.
    Precedence ignored: the value that a + b * c has from left to right, or (a + b) * c without its
    brackets. An answer without tags is its last number.
    """
    given = tagged_answer(completion)
    numbers = _NUMBER.findall(completion if given is None else given)
    if not numbers:
        return NO_ANSWER
    # Longer ones are no answers to small sums, and take Python long to read.
    answer = numbers[-1]
    if len(answer) > 18 or not _NUMBER.fullmatch(gold) or len(gold) > 18:
        return RIGHT if answer == gold and parse(completion) else WRONG
    value, right = int(answer), int(gold)
    if value == right:
        return RIGHT if parse(completion) else UNTAGGED
    if value in _out_of_order(prompt):
        return PRECEDENCE
    return CARRY if abs(value - right) in (10, 100) else WRONG


def _out_of_order(prompt: str) -> list[int]:
    """What a mixed expression in the prompt comes to in the wrong order."""
    values = []
    for bracket, *parts in _MIXED.findall(prompt):
        if max(map(len, parts)) > 18:
            continue
        a, b, c = map(int, parts)
        values.append(a + b * c if bracket else (a + b) * c)
    return values


_ARITHMETIC = Behaviours(
    kinds=(RIGHT, UNTAGGED, CARRY, PRECEDENCE, WRONG, NO_ANSWER),
    right=(RIGHT, UNTAGGED),
    kind_of=arithmetic_kind,
)

BEHAVIOURS: dict[str, Behaviours] = {
    "arithmetic": _ARITHMETIC,
    "arithmetic_longer": _ARITHMETIC,
    "arithmetic_three_steps": _ARITHMETIC,
    "arithmetic_wording": _ARITHMETIC,
    "arithmetic_operators": _ARITHMETIC,
}
"""Name of a task -> what it calls its kinds."""
