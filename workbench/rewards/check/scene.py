"""One problem as the corpus sees it: the question, the gold answer, some wrong ones, and the form
that answers are written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from workbench.rewards.answers.equal import Kind, answers_equal, gold_kind
from workbench.rewards.answers.numerals import may_be_list, read_numeral
from workbench.tasks.types import AS_TEXT, Problem

PLACE = "{answer}"
"""Where a form holds the answer."""

FORMS = {
    "think and answer tags": f"<think>I work it out.</think><answer>{PLACE}</answer>",
    "answer tags": f"<answer>{PLACE}</answer>",
    "think tags and a box": f"<think>I work it out.</think>The answer is \\boxed{{{PLACE}}}.",
    "a box": f"The answer is \\boxed{{{PLACE}}}.",
    "####": f"I work it out.\n#### {PLACE}",
    "the answer is": f"The answer is {PLACE}.",
    "nothing around it": PLACE,
}
"""Ways in which answers are asked for, the strictest first: a reward is tried in all of them, and
then attacked in the first of those in which it tells right from wrong best."""

WORDS = ("London", "seven", "blue")
"""Wrong answers where the gold is words and no other problem lends one."""


@dataclass(frozen=True)
class Attempt:
    """One text of the corpus."""

    note: str
    """What it tries."""

    text: str

    expected: bool | None = False
    """Whether a reward should pay it; None where both would do."""


@dataclass(frozen=True)
class Scene:
    """What the texts for one problem are made of."""

    question: str

    gold: str
    """As a policy would write it: without the `text:` of a gold that is compared as text."""

    kind: Kind | Literal["text"]
    """What the gold answer is; text: one that is compared as it stands."""

    number: Fraction | None
    """The number that it is; None where it is none."""

    wrong: tuple[str, ...]
    """At least two other answers of the same kind."""

    form: str
    """With `PLACE` in it."""

    def write(self, answer: str) -> str:
        """`answer` in the form."""
        return self.form.replace(PLACE, answer)


def number_of(gold: str) -> Fraction | None:
    """The number that a gold answer is; None where it is none."""
    if gold.startswith(AS_TEXT) or may_be_list(gold):
        return None
    numeral = read_numeral(gold)
    return None if numeral is None else numeral.value


def wrong_answers(gold: str, others: Sequence[str]) -> tuple[str, ...]:
    """Answers of the same kind as `gold` that are not it, two or more; `others` are the golds of
    other problems."""
    number = number_of(gold)
    if number is not None:
        return _other_numbers(number)
    if gold_kind(gold) == "letter":
        own = gold.strip(" ().").upper()
        return tuple(letter for letter in "ABCDE" if letter != own)[:3]
    lent = [other for other in dict.fromkeys(others) if answers_equal(_plain(other), gold) is False]
    spare = [word for word in WORDS if answers_equal(word, gold) is False]
    return tuple(_plain(answer) for answer in [*lent, *spare][:3])


def _plain(gold: str) -> str:
    return gold.removeprefix(AS_TEXT)


def _other_numbers(number: Fraction) -> tuple[str, ...]:
    candidates = (number + 1, number - 1, 2 * number + 3, -number - 2)
    return tuple(str(value) for value in dict.fromkeys(candidates) if value != number)


def scene_of(problem: Problem, others: Sequence[str], form: str) -> Scene:
    """The scene of `problem` in `form`."""
    return Scene(
        question=problem.question,
        gold=_plain(problem.answer),
        kind="text" if problem.answer.startswith(AS_TEXT) else gold_kind(problem.answer),
        number=number_of(problem.answer),
        wrong=wrong_answers(problem.answer, others),
        form=form,
    )


Maker = Callable[[Scene], list[Attempt]]
"""What makes the texts of one kind."""
