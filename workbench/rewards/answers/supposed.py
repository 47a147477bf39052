"""What a sentence does not say itself: what it supposes, asks, or puts into somebody else's mouth.

"Suppose x = 42", "if it were 42", "could it be 42", "one might guess 42", "the naive answer is 42".
Nobody who writes so has answered. "If x = 6, there are 42" has: a supposition reaches to the comma.
"""

from __future__ import annotations

import re

REACH = 200
"""Characters before an answer that are looked at."""

_DIGIT = re.compile("[0-9]")
_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bE\.g)[.!?][*_\"')]{0,3}\s+|\n")
_ASIDE = re.compile(
    r",\s*(?:for instance|for example|e\.g\.|say|of course|then|perhaps|maybe)\s*,", re.IGNORECASE
)
_CLAUSE = re.compile(r"[,;:?]|\b(?:then|so|thus|hence|therefore|but)\b", re.IGNORECASE)

_SUPPOSES = re.compile(
    r"\b(?:suppos(?:e|ing)\b|imagin(?:e|ing)|pretend(?:ing)?|hypothetically|(?:what|how) about"
    r"|what if|let(?:['’]s| us) (?:say|suppose|assume|pretend|imagine|try|test|take)"
    r"|(?:let|say|try|trying|test|testing|take) [a-z](?= ?(?:=|\b(?:be|is|was|equals?)\b))"
    r"|as (?:if|though)|no idea|not sure|unsure"
    r"|naive|naïve|careless|hasty|sloppy|tempting|at first (?:glance|sight)|at first it seem\w*"
    r"|common(?:ly)? (?:mistake|error|wrong|misconception)|obvious \w+ (?:would|might)"
    r"|according to (?!the (?:text|problem|question|table|formula|rule|data)\b))"
    r"|^\W*(?:try|trying|test|testing|guess)\W*$",
    re.IGNORECASE,
)
_IF = re.compile(r"\b(?:if|unless|whether|assume|assuming|provided|in case)\b", re.IGNORECASE)
_FOLLOWS = re.compile(r"[0-9]|\b(?:will|we (?:get|have|find|obtain))\b", re.IGNORECASE)
"""What stands between a supposition and what follows from it: another number, or such a word."""

_INVERTED = re.compile(
    r"^\W*(?:were|had|should) (?:it|there|this|that|the \w+|[a-z])\b[^0-9]*$", re.IGNORECASE
)
_ASKS = re.compile(
    r"^\W*(?:is|are|was|were|could|might|would|can|may|will|does|do|did) "
    r"(?:it|this|that|there|they|she|he|we|you|I|the \w+|[a-z])\b[^0-9.,;:]*$",
    re.IGNORECASE,
)
_MARKS = r"[\s*$\\(]*$"
_UNSURE = re.compile(
    r"\b(?:might|could|may) (?:well |also |even )?(?:be|have been)(?: equal to)?"
    rf"{_MARKS}|\b(?:such as|(?:something|anything|numbers?) like){_MARKS}",
    re.IGNORECASE,
)
_PERHAPS = re.compile(r"\b(?:maybe|perhaps|possibly)\b", re.IGNORECASE)
_HOPES = re.compile(
    r"\b(?:supposed|expected|meant|wants?|wanted|hopes?|hoped|wish(?:es|ed)?)\b", re.IGNORECASE
)
_IS = re.compile(rf"\b(?:be|were|is|was|are){_MARKS}", re.IGNORECASE)
_EXAMPLE = re.compile(
    r"\b(?:for example|for instance|e\.g\.?|hypothetically|perhaps|maybe|possibly),?"
    r"[\s*$\\(]*(?:[A-Za-z] ?= ?)?$",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"\b(?:guess(?:es|ed)?|thinks?|thought|says?|said|claims?|claimed|believes?|believed|suggests?"
    r"|suggested|tells?|told|answers?(?=\W*$))\b",
    re.IGNORECASE,
)
_MODALS = frozenset(
    ("might", "may", "could", "would", "will", "often", "wrongly", "usually", "first", "also")
)
_OWN = frozenset(("i", "we", "my", "our", "the", "final", "correct", "and", "is", "an", "this"))
"""Words before such a verb with which it is the writer who says it, or no verb at all."""

_AFTER = re.compile(
    r"[\s*$)\\\]}]*(?:at first\b|perhaps\b|maybe\b|possibly\b|I hope\b"
    r"|is (?:tempting|(?:only |just )?an? (?:guess|trap|joke|lie|rumou?r|hypothesis"
    r"|(?:common|typical|frequent|naive) \w+))\b|(?:may|might|could) be (?:right|correct|it)\b)",
    re.IGNORECASE,
)
_WOULD_BE = re.compile(r"\bwould (?:be|have been)[\s*$\\(]*$", re.IGNORECASE)
_IF_AFTER = re.compile(r"[\s*$)\\\]}]*(?:\w+ )?if\b", re.IGNORECASE)
_COUNTED = re.compile(r"\s+[A-Za-z]")


def is_supposed(text: str, start: int, end: int) -> bool:
    """Whether `text` only supposes or asks what stands from `start` to `end`, or says that others
    say it."""
    before = text[max(0, start - REACH) : start]
    sentence = _ASIDE.sub(" ", _SENTENCE.split(before)[-1])
    clause = _CLAUSE.split(sentence)[-1]
    after = text[end : end + 40]
    if _SUPPOSES.search(clause) or _INVERTED.search(clause) or _reaches(_IF, clause, _FOLLOWS):
        return True
    # "the total is 42" begins no question behind a comma.
    if _ASKS.search(sentence) or _EXAMPLE.search(sentence) or _UNSURE.search(clause):
        return True
    if _reaches(_PERHAPS, clause) or (_reaches(_HOPES, clause) and _IS.search(clause)):
        return True
    if _AFTER.match(after) or (_WOULD_BE.search(clause) and _IF_AFTER.match(after)):
        return True
    return _others_say(clause, after)


def _others_say(clause: str, after: str) -> bool:
    """Whether it is not the writer who says what follows `clause`."""
    said = _reaches(_SAYS, clause)
    if said is None:
        return False
    words = clause[: said.start()].lower().split()
    while words and words[-1] in _MODALS:
        del words[-1]
    if not words or words[-1] in _OWN:
        return False
    # "Students answer 42 questions" counts questions.
    return not said[0].lower().startswith("answer") or not _COUNTED.match(after)


def _reaches(
    pattern: re.Pattern[str], clause: str, ends: re.Pattern[str] = _DIGIT
) -> re.Match[str] | None:
    """The last place of `pattern` in `clause`, where nothing behind it ends its reach."""
    last = None
    for match in pattern.finditer(clause):
        last = match
    return None if last is None or ends.search(clause, last.end()) else last
