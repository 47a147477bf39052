"""Answers that are neither numbers nor formulas and still have one meaning: words, times of day,
ratios, dates and names with a number in them. Each is brought to one form for comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.rewards.answers.spelling import plain

_WORDS = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?: ?([ap])\.? ?m\b\.?| ?(noon))?\.?")
_RATIO = re.compile(r"[0-9]+(?:\.[0-9]+)?(?: ?(?::|to) ?[0-9]+(?:\.[0-9]+)?)+\.?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_NAMED_DATE = re.compile(
    rf"(?:[a-z]+,? )?(?:{_MONTH}\.? [0-9]{{1,4}}(?:st|nd|rd|th)?(?:,? [0-9]{{4}})?"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\.?(?:,? [0-9]{{4}})?)"
)
_PHRASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.'&:/%$#-]*")
_TOKEN = re.compile(r"[a-z]+|[0-9]+(?:[.,:/][0-9]+)*")
_FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "lim", "max", "min")
) | frozenset(("gcd", "lcm", "mod", "pi", "frac", "infty", "cdot", "times"))
_INFINITE = {"infinity": "infinity", "inf": "infinity", "\\infty": "infinity", "∞": "infinity"}
_EMPTY = frozenset(
    ("\\emptyset", "\\varnothing", "∅", "empty set", "the empty set", "\\{\\}", "\\{ \\}")
)


@dataclass(frozen=True)
class Literal:
    """An answer that is compared as it is written, in one form."""

    kind: str
    """words, clock, ratio, date, phrase or text."""

    parts: tuple[str, ...]
    """What is compared."""


def read_words(text: str) -> Literal | None:
    """`text` as words, upper and lower case alike ("Paris", "(B)"), or infinity or the empty
    set."""
    bare = plain(text).strip(" ().\"'")
    sign = "-" if bare.startswith("-") else ""
    unsigned = bare.lstrip("+-").strip().casefold()
    if unsigned in _INFINITE:
        return Literal("words", (sign + "infinity",))
    if plain(text).strip(" .").casefold() in _EMPTY:
        return Literal("words", ("empty set",))
    return Literal("words", (bare.casefold(),)) if _WORDS.fullmatch(bare) else None


def read_special(text: str) -> Literal | None:
    """`text` as a time of day, a date or a ratio."""
    bare = plain(text).strip()
    return _clock(bare) or _date(bare) or _ratio(bare)


def read_phrase(text: str) -> Literal | None:
    """`text` as a name with numbers in it ("Room 12B", "3 hours 20 minutes"); None where it may be
    a formula."""
    bare = plain(text).strip()
    tokens = tuple(_TOKEN.findall(bare.casefold()))
    words = [token for token in tokens if token.isalpha()]
    is_named = any(len(word) > 2 for word in words) and not _FUNCTIONS & set(words)
    # What is left out of the tokens must mean nothing.
    mute = re.sub(r"[\s,.']", "", _TOKEN.sub("", bare.casefold()))
    return Literal("phrase", (*tokens, mute)) if is_named and _PHRASE.fullmatch(bare) else None


def as_text(text: str) -> Literal:
    """`text` as nothing but its characters: spelling and white space made one, case folded."""
    return Literal("text", (plain(text).strip(" .").casefold(),))


def same_literal(given: Literal, gold: Literal) -> bool:
    """Whether the two say the same. A gold time without a.m. or p.m. takes either."""
    if given.kind == gold.kind == "clock" and not gold.parts[3]:
        return given.parts[:3] == gold.parts[:3]
    if given.kind == gold.kind == "clock":
        return _minute_of_day(given) == _minute_of_day(gold)
    return given == gold


def _clock(text: str) -> Literal | None:
    match = _CLOCK.fullmatch(text.casefold())
    if match is None or int(match[1]) > 24 or int(match[2]) > 59:
        return None
    half = "p" if match[5] else match[4] or ""
    return Literal("clock", (str(int(match[1])), match[2], match[3] or "00", half))


def _minute_of_day(clock: Literal) -> tuple[int, str, str]:
    """Hour of 24, minute, second; a time of the gold's without a half of the day is of 24 hours
    only from 13 on."""
    hour = int(clock.parts[0])
    half = clock.parts[3]
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    elif hour < 13:
        hour = -1 - hour  # which half it means is not said
    return hour, clock.parts[1], clock.parts[2]


def _date(text: str) -> Literal | None:
    lower = text.casefold().rstrip(".")
    if not (_DATE.fullmatch(lower) or _NAMED_DATE.fullmatch(lower)):
        return None
    return Literal("date", tuple(_TOKEN.findall(lower.replace("-", " "))))


def _ratio(text: str) -> Literal | None:
    if not _RATIO.fullmatch(text):
        return None
    return Literal("ratio", tuple(re.split(r" ?(?::|to) ?", text.rstrip("."))))
