"""The gold answer in what a data set gives as its answer, and how it was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.tasks.format import tagged_answer
from workbench.tasks.types import TaskError

MAX_GOLD_LENGTH = 200
"""Characters; a longer text without a mark for the final answer is a worked solution, not a gold
answer."""

WHOLE = "the whole answer"
HASHES = "after '####' at the start of the last line"
BOX = "in the box"
LAST_BOX = "in the last of several boxes"
TAGGED = "between <answer> and </answer>"
INTRODUCED = "behind 'Final answer:' or the like on the last line"
LETTER = "the letter of a choice"

_GROUPED = re.compile(r"([+-]?\$?)([1-9][0-9]{0,2}(?:,[0-9]{3})+)(\.[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+\s*%?")
_POINT = re.compile(r"[0-9]\.[0-9]")
_MAY_BE_LIST = re.compile(r"[1-9][0-9]{2}(?:,[1-9][0-9]{2})+")
HASHED_LINE = re.compile(r"####(?!#)\s*(.*)")
_INTRODUCED = re.compile(r"\A(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\b\s*[:=]?\s*", re.IGNORECASE)
INTRODUCED_LINE = re.compile(
    r"[*_\s]*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?[*_\s]*[:=][*_]*\s*(.+)", re.IGNORECASE
)
_BOLD = re.compile(r"(\*\*|__)(.+?)\1\.?")
_SENTENCE = re.compile(
    r"\S+\s+(?:\S+\s+)*(?:is|are|was|were|equals?|has|have|had|will|can)\s+\S.*"
    r"|(?:\S+\s+){3,}\S*[a-z)\"'][.!?]",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_BARE = re.compile(r"\\(?!boxed|fbox)[a-zA-Z]+|[^\s$\\{},;]+")


@dataclass(frozen=True)
class Gold:
    """A gold answer as short text, and where in the data's answer it stood."""

    text: str

    found: str
    """One of the sentences above (`WHOLE`, `HASHES`, ...)."""


def gold_in(text: str) -> Gold:
    """The final answer in `text`: behind `####` at the start of its last line, else in its last
    box, else all of a short text; before all of these what stands between answer tags, and before
    the last a last line of 'Final answer: x'. Raises `TaskError` where that is not certain.

    `####` anywhere else is a heading or a quotation. Thousands separators of a plain number are
    dropped ("1,080" becomes "1080"); "100,200" stays, unless it is behind `####`.
    """
    if "<answer>" in text:
        return _in_tags(text)
    hashed = _after_hashes(text)
    boxes = list(boxes_in(text))
    if hashed is not None and boxes and _plain(boxes[-1]) != _plain(hashed):
        raise TaskError(
            f"the answer ends in '#### {hashed:.40}' and has {boxes[-1]!r:.40} in its last box: "
            "two final answers. Take one of them out."
        )
    if hashed is not None:
        return _checked(hashed, HASHES)
    if boxes:
        return _checked(boxes[-1], BOX if len(boxes) == 1 else LAST_BOX)
    if "####" in text:
        raise TaskError(
            "the answer holds '####', which marks a final answer only at the start of the last "
            "line, once, and no '\\boxed{x}'. Put '#### x' on a line of its own at the end, and "
            "write headings with another number of #."
        )
    introduced = INTRODUCED_LINE.fullmatch(text.strip().rpartition("\n")[2].strip())
    if introduced is not None:
        return _checked(_unmarked(introduced.group(1).strip()), INTRODUCED)
    if len(text) > MAX_GOLD_LENGTH or "\n" in text:
        raise TaskError(
            "the answer is a long text without a final answer: neither '#### x' as its last line "
            "nor '\\boxed{x}' is in it. Add one, or name the key of the short answer with "
            "answer_key= (on the command line --answer-key)."
        )
    return _checked(text, WHOLE)


def is_sentence(gold: str) -> bool:
    """Whether a gold is a whole sentence, which nearly no completion spells in the same way."""
    return _SENTENCE.fullmatch(gold) is not None


def may_have_decimal_commas(golds: Iterable[str]) -> list[str]:
    """The golds such as "3,5" of data that writes no number with a decimal point: its comma may be
    the decimal sign, where "3,5" is compared as the two values 3 and 5."""
    one_comma = [gold for gold in golds if _COMMA.fullmatch(gold) or _POINT.search(gold)]
    if any(_POINT.search(gold) for gold in one_comma):
        return []
    return [gold for gold in one_comma if not _GROUPED.fullmatch(gold.rstrip(" %"))]


def _in_tags(text: str) -> Gold:
    inner = tagged_answer(text)
    if inner is None:
        raise TaskError(
            "the answer holds '<answer>' but not one filled <answer>…</answer>. Write the final "
            "answer once between these tags, or take them out."
        )
    boxes = list(boxes_in(inner))
    return _checked(boxes[-1] if boxes else _unmarked(inner), TAGGED)


def _unmarked(final: str) -> str:
    """Without the marks of bold text around it, and the full stop behind a number."""
    bold = _BOLD.fullmatch(final)
    plain = final if bold is None else bold.group(2).strip()
    return plain[:-1] if re.search(r"[0-9]\.$", plain) else plain


def boxes_in(text: str) -> Iterator[str]:
    """What stands in each `\\boxed{…}`, `\\fbox{…}` and `\\boxed 7`, in order; a box within a box
    is part of it. Raises `TaskError` for one that is never closed."""
    start = 0
    while (mark := _BOX.search(text, start)) is not None:
        if text[mark.end() : mark.end() + 1] == "{":
            start = _closing_brace(text, mark.end())
            yield text[mark.end() + 1 : start].strip()
        else:
            bare = _BARE.match(text, mark.end())
            start = mark.end() if bare is None else bare.end()
            yield "" if bare is None else bare.group().rstrip(".:")


def _closing_brace(text: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise TaskError(
        f"the gold answer in a box is not closed: {text[opening : opening + 40]!r}. Close it."
    )


def _after_hashes(text: str) -> str | None:
    """What follows `####` at the start of the last line; None where the line begins otherwise, and
    where `####` comes more than once: those are headings."""
    if text.count("####") > 1:
        return None
    last_line = text.strip().rpartition("\n")[2].strip()
    mark = HASHED_LINE.fullmatch(last_line)
    if mark is None:
        return None
    final = _INTRODUCED.sub("", mark.group(1), count=1).strip()
    boxes = list(boxes_in(final))
    return boxes[-1] if boxes else final


def _checked(final: str, found: str) -> Gold:
    if not final:
        raise TaskError(
            "the gold answer after '####' or in '\\boxed{}' is blank. Write it there, or leave "
            "the row out."
        )
    if len(final) > MAX_GOLD_LENGTH:
        raise TaskError(
            f"the gold answer {found} has {len(final)} characters, no more than {MAX_GOLD_LENGTH} "
            "are taken for one. Write the final answer alone there."
        )
    # Only the mark of GSM8K says that 100,200 is one number; elsewhere it may be two.
    whole = found != HASHES and _MAY_BE_LIST.fullmatch(final)
    return Gold(final if whole else _plain(final), found)


def _plain(final: str) -> str:
    return final.replace(",", "") if _GROUPED.fullmatch(final) else final
