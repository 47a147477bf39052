"""Is a given answer the gold answer? Exact for numbers and words; LaTeX expressions go to
math-verify.

Which of the three it is, the gold answer decides:
- a number: the given answer must be the same number, written as a number. "3+5" is not accepted for
8, nor "10/2" for
  5: a policy that repeats the question has not answered it. (math-verify alone would accept both.)
- words ("Paris", "(B)"): the same words, upper and lower case alike. (math-verify would read a
product of symbols, for
  which any anagram is right.)
- anything else is an expression, compared by math-verify in a process of its own with a time limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from workbench.errors import WorkbenchError
from workbench.rewards import math_process
from workbench.rewards.numerals import MAX_LENGTH, Numeral, plain, read_numeral

_WORDS = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")


@dataclass(frozen=True)
class Words:
    """An answer that is nothing but words, in one form for comparison."""

    text: str


class GoldError(WorkbenchError, ValueError):
    """A gold answer that nothing can be compared with; scoring against it would be noise."""


def answers_equal(given: str, gold: str) -> bool:
    """Whether `given` is the answer `gold`. Raises `GoldError` when `gold` cannot be read.

    A given answer that is over 256 characters long, or that math-verify cannot compare within its
    time limit (`math_process.TIME_LIMIT`), is not equal: one like `9^{9^{9^9}}` would otherwise
    hold up the run for ever.
    """
    expected = _read_gold(gold)
    if len(given) > MAX_LENGTH:
        return False
    if isinstance(expected, Numeral):
        number = read_numeral(given)
        return number is not None and number.value == expected.value and not number.unfinished
    if isinstance(expected, Words):
        return _words(given) == expected
    return bool(given.strip()) and _expressions_equal(given, gold)


def compared_plainly(gold: object) -> bool:
    """Whether `gold` is a number or words, so that `answers_equal` neither starts math-verify's
    process nor raises."""
    return (
        isinstance(gold, str)
        and len(gold) <= MAX_LENGTH
        and (read_numeral(gold) or _words(gold)) is not None
    )


def check_gold(gold: str) -> None:
    """Raises `GoldError`, saying why, when `gold` cannot serve as a gold answer."""
    _read_gold(gold)


@lru_cache(maxsize=65536)
def _read_gold(gold: str) -> Numeral | Words | str:
    """The gold answer as a number, as words, or as the expression it is."""
    if not isinstance(gold, str):
        raise GoldError(f"the gold answer is {gold!r:.80}, a {type(gold).__name__}; expected text.")
    if not gold.strip() or len(gold) > MAX_LENGTH:
        raise GoldError(
            f"the gold answer must have 1 to {MAX_LENGTH} characters: {gold!r:.80} has {len(gold)}."
        )
    known = read_numeral(gold) or _words(gold)
    if known is not None:
        return known
    if not math_process.readable(gold):
        raise GoldError(
            f"the gold answer {gold!r:.200} is neither a number nor words, and math-verify cannot "
            "read it as an expression in the time it has. Correct it or leave the problem out."
        )
    return gold


def _words(text: str) -> Words | None:
    words = plain(text).strip(" ().")
    return Words(words.casefold()) if _WORDS.fullmatch(words) else None


@lru_cache(maxsize=65536)
def _expressions_equal(given: str, gold: str) -> bool:
    return math_process.equal(given, gold)
