"""Is a given answer the gold answer? Exact for numbers, words, times and lists; LaTeX expressions
go to math-verify.

Which of these it is, the gold answer decides; docs/answers.md has the table.
- a number: the given answer must be the same number, written as a number. "3+5" is not accepted for
  8, nor "10/2" for 5: a policy that repeats the question has not answered it. (math-verify alone
  would accept both.) Where both have a unit, it must be the same one.
- words ("Paris", "(B)"): the same words, upper and lower case alike. (math-verify would read a
  product of symbols, for which any anagram is right.)
- several values: the same ones; in the same order where the gold has brackets.
- anything else is an expression, compared by math-verify in a process of its own with a limit on
  its computing time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal as OneOf

from workbench.errors import WorkbenchError
from workbench.rewards.answers import math_process
from workbench.rewards.answers.choices import letter_with_text
from workbench.rewards.answers.literals import (
    Literal,
    as_text,
    read_phrase,
    read_special,
    read_words,
    same_literal,
)
from workbench.rewards.answers.numerals import MAX_LENGTH, Numeral, may_be_list, read_numeral
from workbench.rewards.answers.several import Collection, read_collection, split_label
from workbench.rewards.answers.units import agree
from workbench.tasks.types import AS_TEXT

_ANNOUNCED = re.compile(
    r"^\s*(?:(?:so|thus|hence|therefore),? )?(?:the|my) (?:final |correct )?answer is:? ",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Expression:
    """An answer that only computer algebra can compare."""

    text: str


@dataclass(frozen=True)
class Labelled:
    """A gold answer with the variable that it names, as in `x = 42`."""

    label: str
    value: Value


Kind = OneOf["value", "letter", "words"]
"""What an answer is: a number or formula, one letter of a choice, or words."""

Value = Numeral | Literal | Collection | Expression


class GoldError(WorkbenchError, ValueError):
    """A gold answer that nothing can be compared with; scoring against it would be noise."""


def answers_equal(given: str, gold: str) -> bool | None:
    """Whether `given` is the answer `gold`; None where math-verify ran out of time or memory, so
    that nobody knows. Raises `GoldError` when `gold` cannot be read.

    A given answer that is over 256 characters long, or that piles up powers or factorials which the
    gold has not (`9^{9^{9^9}}`), is not equal.
    """
    expected = _read_gold(gold)
    if len(given) > MAX_LENGTH or not given.strip():
        return False
    try:
        bare = _ANNOUNCED.sub("", given)
        # A gold may be a text that begins so itself.
        return _matches(given, expected) or (bare != given and _matches(bare, expected))
    except math_process.UndecidedError:
        return None


def compared_plainly(gold: object) -> bool:
    """Whether `gold` is read without math-verify, so that `answers_equal` neither starts its
    process nor raises."""
    return isinstance(gold, str) and 0 < len(gold) <= MAX_LENGTH and _is_plain(_plainly(gold))


def check_gold(gold: str) -> None:
    """Raises `GoldError`, saying why, when `gold` cannot serve as a gold answer."""
    _read_gold(gold)


def gold_kind(gold: str) -> Kind:
    """What has to be looked for in a text to find the answer `gold`."""
    value = _read_gold(gold).value
    if not isinstance(value, Literal) or value.kind in ("clock", "ratio"):
        return "value"
    only = value.parts[0]
    if value.kind == "words" and len(only) == 1:
        return "letter"
    return "value" if only.endswith("infinity") or only == "empty set" else "words"


@lru_cache(maxsize=65536)
def _read_gold(gold: str) -> Labelled:
    """The gold answer as what it is."""
    if not isinstance(gold, str):
        raise GoldError(f"the gold answer is {gold!r:.80}, a {type(gold).__name__}; expected text.")
    if not gold.strip() or len(gold) > MAX_LENGTH:
        raise GoldError(
            f"the gold answer must have 1 to {MAX_LENGTH} characters: {gold!r:.80} has {len(gold)}."
        )
    known = _plainly(gold)
    if _is_plain(known):
        return known
    phrase = read_phrase(gold)
    if phrase is not None:
        return Labelled("", phrase)
    _check_expressions(gold, known)
    return known


def _check_expressions(gold: str, known: Labelled) -> None:
    """Raises `GoldError` for a gold answer with a part that math-verify cannot read."""
    for text in _expressions(known.value):
        try:
            is_readable = math_process.readable(text)
        except math_process.UndecidedError as error:
            raise GoldError(
                f"the gold answer {gold!r:.200} cannot be checked: {error} Write it more simply or "
                "leave the problem out."
            ) from error
        if not is_readable:
            raise GoldError(
                f"the gold answer {gold!r:.200} is neither a number nor words, and math-verify "
                "cannot read it as an expression. Correct it, leave the problem out, or write "
                f"{AS_TEXT!r} before it to have it compared as text."
            )


@lru_cache(maxsize=65536)
def _plainly(gold: str) -> Labelled:
    """The gold answer as it is read without math-verify: an `Expression` is left for it."""
    if gold.startswith(AS_TEXT):
        return Labelled("", as_text(gold.removeprefix(AS_TEXT)))
    label, rest = split_label(gold)
    return Labelled(label, _value(rest))


def _value(text: str) -> Value:
    numeral = None if may_be_list(text) else read_numeral(text)
    return (
        numeral
        or read_words(text)
        or read_special(text)
        or read_collection(text)
        or Expression(text)
    )


def _is_plain(known: Labelled) -> bool:
    return not list(_expressions(known.value))


def _expressions(value: Value) -> list[str]:
    """The parts of `value` that only math-verify can compare."""
    if isinstance(value, Expression):
        return [value.text]
    if isinstance(value, Collection):
        parts = [_value(split_label(item)[1]) for item in value.items]
        return [text for part in parts for text in _expressions(part)]
    return []


def _matches(given: str, expected: Labelled) -> bool:
    label, rest = split_label(given)
    if label and expected.label and label != expected.label:
        return False
    value = expected.value
    if isinstance(value, Numeral):
        return _same_number(read_numeral(rest), value)
    if isinstance(value, Literal):
        return _same_words(rest, value)
    if isinstance(value, Collection):
        found = read_collection(given) or read_collection(rest)
        return found is not None and _same_items(found, value)
    # A whole equation is compared as one, where the gold is one too.
    return _expressions_equal(rest, value.text)


def _same_number(given: Numeral | None, gold: Numeral) -> bool:
    return (
        given is not None
        and given.value == gold.value
        and not given.unfinished
        and agree(given.unit, gold.unit)
        # A word that nobody knows may change the value: it counts only beside the gold's own.
        and (given.counts or bool(gold.unit))
    )


def _same_words(given: str, gold: Literal) -> bool:
    if gold.kind == "words" and len(gold.parts[0]) == 1:
        letter = letter_with_text(given)
        if letter is not None:
            return letter.casefold() == gold.parts[0]
    readers = {"words": read_words, "phrase": read_phrase, "text": as_text}
    found = readers.get(gold.kind, read_special)(given)
    return found is not None and same_literal(found, gold)


def _same_items(given: Collection, gold: Collection) -> bool:
    kinds = {given.kind, gold.kind}
    if len(given.items) != len(gold.items) or (len(kinds) > 1 and kinds != {"list", "set"}):
        return False
    expected = [_labelled(item) for item in gold.items]
    labels = {item.label for item in expected} - {""}
    unnamed = all(not split_label(item)[0] for item in given.items)
    # "1, 2" for "x = 1, y = 2": without names the order has to say which is which.
    if gold.ordered or (len(labels) > 1 and unnamed):
        return all(_matches(g, e) for g, e in zip(given.items, expected, strict=True))
    for item in given.items:
        place = next((i for i, e in enumerate(expected) if _matches(item, e)), None)
        if place is None:
            return False
        del expected[place]
    return True


def _labelled(item: str) -> Labelled:
    label, rest = split_label(item)
    return Labelled(label, _value(rest))


@lru_cache(maxsize=65536)
def _expressions_equal(given: str, gold: str) -> bool:
    # What could not be decided is raised, and so never cached.
    return math_process.equal(given, gold)
