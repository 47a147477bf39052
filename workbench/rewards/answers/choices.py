"""One letter of a choice: whether a text names one, and only one."""

from __future__ import annotations

import re

from workbench.rewards.answers.spelling import plain

_LETTER = re.compile(r"\(?([A-Za-z])\)?(?![A-Za-z0-9'^_+*/=-])")
_WITH_TEXT = re.compile(r"\(?([A-Za-z])(?:\)[.:]?|[.:]) ?(\S.*)")
_NAMED = re.compile(
    r"\(([A-Z])\)|\b(?i:option|choice|choose|pick|select)s?(?: is)? \(?([A-Z])\b\)?"
    r"|(?<![\w'(])([A-Z]) is (?:the )?(?:correct|right)\b"
    r"|^\W*(?i:no|wait|actually)\W{1,3}([A-Z])\W*$",
    re.ASCII,
)
_HEDGE_WORDS = r"\b(?:or|and|nor|else|maybe|perhaps|possibly|alternatively|vs|no|wait)\b"
_HEDGE = re.compile(
    rf"(?i:[\s*,).;:-]*(?:{_HEDGE_WORDS}[\s,:]*)+|[\s)]*[/,;|&][\s*]*)\(?[A-Z]\b\)?(?!\w)"
    r"|\)?\. *\(?[A-Z]\)?(?:[.,;]|\s*$)"
)
_HEDGED_BEFORE = re.compile(r"\b[A-Z]\)?,? *(?:,|/|\b(?:or|and)\b)[\s(]*$")
_OTHER = re.compile(
    r"(?<![\w'\\])[A-Z](?![\w'])|^(?:or|and|is|was|maybe|perhaps|isn|may|can|cannot|could|must|should|would|has|do|does|doesn|did"
    r"|didn|fails?)\b"
    r"|^(?:not|wrong|incorrect)\W*$"
)


def leading_letter(content: str, rest: str = "") -> str | None:
    """The letter that `content` begins with, unless another one is offered beside it; `rest` is
    what the text goes on with."""
    bare = plain(content).strip("\"'")
    match = _LETTER.match(bare)
    if match is None or _HEDGE.match(bare + rest[:40], match.end()):
        return None
    # "a lot" begins with an article.
    alone = not bare[match.end() :].strip(" .,)")
    closed = match[0].endswith(")") or bare[match.end() : match.end() + 1] in (".", ":", ",")
    return match[1] if alone or closed else None


def letter_with_text(text: str) -> str | None:
    """The letter of a choice given with its text, as a task shows it ("B. 42", "(B) 42"); None
    where the text names another."""
    match = _WITH_TEXT.fullmatch(plain(text))
    if match is None or _OTHER.search(match[2]):
        return None
    return match[1]


def named_letters(sentence: str) -> list[tuple[str, int, int]]:
    """The choices that `sentence` names, each with where its name begins and ends."""
    return [
        (match[match.lastindex or 0], match.start(), match.end())
        for match in _NAMED.finditer(sentence)
    ]


def is_hedged(sentence: str, start: int, end: int) -> bool:
    """Whether another choice is offered beside what stands from `start` to `end`."""
    before = sentence[max(0, start - 20) : start]
    return bool(_HEDGE.match(sentence, end) or _HEDGED_BEFORE.search(before))
