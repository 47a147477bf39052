"""The likeliest answer in a text that has no form: what a lenient reward pays for.

An answer is a whole expression: digits inside a larger one are none, and neither is what a text
denies, asks, or offers beside another. Everything here takes time linear in the text, whatever the
text holds: completions are hostile.
"""

from __future__ import annotations

import re

from workbench.rewards.answers.boxes import boxed
from workbench.rewards.answers.equal import Kind
from workbench.rewards.answers.last import (
    all_value,
    all_words,
    last_letter,
    last_number,
    marked,
)
from workbench.rewards.answers.likely import MOST, is_answer
from workbench.rewards.answers.numerals import MAX_LENGTH, read_numeral
from workbench.rewards.answers.spelling import plain
from workbench.rewards.answers.stated import stated

_TAG = re.compile("</?(?:think|answer)>")

_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")

_QUOTED = re.compile(r"^[ \t]{0,3}> ", re.MULTILINE)


def extract_answer(text: str, wanted: Kind = "value") -> str | None:
    """The likeliest answer in `text`, however it is written; None when there is none, or when the
    text gives two different ones in tags.

    In this order: the `<answer>` tag (also one that was never closed), the last line that begins
    with `####`, the last `\\boxed{x}`, what follows the last "the answer is", the last bold text
    or formula, the last number with what belongs to it. Blank and denied candidates are passed
    over.
    """
    tagged = _tagged(text)
    if tagged:
        # A loop that says one answer again and again is compared once.
        others = set(tagged) - {tagged[-1]}
        same = len(others) <= MOST and all(_same(tagged[-1], other) for other in others)
        return tagged[-1] if same else None
    # What comes after a thought counts before what is in it.
    for part in (text.rpartition("</think>")[2], text):
        part = _QUOTED.sub("", _STRUCK.sub(" ", _TAG.sub("\n", part)))
        answer = _after_hashes(part, wanted) or boxed(part, wanted)
        if answer is None:
            answer, part = stated(part, wanted)
        for find in (last_letter, all_words, all_value, marked, last_number):
            answer = answer or find(part, wanted)
        if answer and answer.strip():
            return answer.strip()
    return None


def _tagged(text: str) -> list[str]:
    """What stands in the tags of `text`, without blank ones."""
    pieces = (piece.partition("</answer>")[0].strip() for piece in text.split("<answer>")[1:])
    return [piece for piece in pieces if piece]


def _same(one: str, other: str) -> bool:
    """Whether two answers are one, as far as that can be seen without computer algebra."""
    if len(one) > MAX_LENGTH or len(other) > MAX_LENGTH:
        return one == other
    numbers = read_numeral(one), read_numeral(other)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]
    return plain(one).casefold() == plain(other).casefold()


def _after_hashes(text: str, wanted: Kind) -> str | None:
    before, found, rest = text.rpartition("####")
    line = rest.partition("\n")[0].strip()
    at_line_start = not before.rpartition("\n")[2].strip()
    return line if found and at_line_start and is_answer(line, wanted) else None
