"""What may be an answer at all, and how much of a text is looked at for one."""

from __future__ import annotations

import re

from workbench.rewards.answers.choices import leading_letter
from workbench.rewards.answers.equal import Kind
from workbench.rewards.answers.literals import read_phrase, read_special, read_words
from workbench.rewards.answers.numerals import MAX_LENGTH, read_numeral
from workbench.rewards.answers.several import read_collection, split_label
from workbench.rewards.answers.spelling import plain

TAIL = 8000
"""Characters at the end of a text in which an answer without a tag is looked for."""

MOST = 20
"""Boxes, or answers announced, that are looked at, and in one sentence numbers, formulas and
choices; the last ones."""

MOST_SENTENCES = 60
"""Sentences that are looked at, the last ones."""

JOINT = re.compile(
    r"[\s$.,;/|&*]*(?:(?:and|or|alternatively)(?: else| maybe| perhaps| possibly)?[,:]?"
    r"|\\text(?:rm)?\{\s*(?:and|or)\s*\})?[\s$*]*",
    re.IGNORECASE,
)

_UNEQUAL = re.compile(
    r"[<>≠≤≥≈∼≢∨]|!=|\\(?:not|neg?|neq|l[te]|g[te]|[lg]eq(?:slant)?|approx|sim(?:eq)?|cong|vee|lor)"
    r"(?![a-z])"
)


NOT = re.compile(
    r"(?:(?:by|in) no \w+|far from|no longer|not|never|neither|nor|anything but|other than"
    r"|un\w+able)\b",
    re.IGNORECASE,
)
"""What a denied answer begins with."""

_WORD = re.compile(r"[A-Za-z]{2,}")

_COMMAND = re.compile(r"\\[A-Za-z]+|\b(?:sin|cos|tan|log|ln|exp|sqrt|pi|infinity)\b")


def is_answer(content: str, wanted: Kind) -> bool:
    """Whether `content` may be an answer of the wanted kind, and is not just talk."""
    if not content.strip() or len(content) > MAX_LENGTH:
        return False
    bare = split_label(content)[1]
    if wanted == "letter":
        return leading_letter(content[:MAX_LENGTH]) is not None
    if wanted == "words":
        return (read_words(bare) or read_special(bare) or read_phrase(bare)) is not None
    if read_numeral(bare) is not None or read_special(bare) is not None:
        return True
    several = read_collection(bare)
    if several is not None and all(read_numeral(item) for item in several.items):
        return True
    # Two words or numbers side by side are a sentence; the one word of a list is "and" or "or".
    formula = re.sub(r"\b(?:and|or)\b", ",", _COMMAND.sub("", plain(bare)))
    return _WORD.search(formula) is None and re.search(r"[0-9A-Za-z\\π∞]", plain(bare)) is not None


def last_side(content: str) -> str:
    """What stands behind the last `=` of a chain such as 7 · 6 = 42."""
    _, equals, right = content.rpartition("=")
    unequal = _UNEQUAL.search(content) or NOT.match(content.strip())
    return right if equals and right.strip() and not unequal else content
