"""The answer where nothing announces one: the last choice, bold text, formula or number that its
sentence stands by."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.rewards.answers.candidates import (
    Span,
    denied,
    marked_spans,
    number_spans,
    refuted,
    sentences,
    with_unit,
)
from workbench.rewards.answers.choices import (
    is_hedged,
    leading_letter,
    letter_with_text,
    named_letters,
)
from workbench.rewards.answers.equal import Kind
from workbench.rewards.answers.likely import JOINT, MOST, MOST_SENTENCES, TAIL, is_answer, last_side
from workbench.rewards.answers.literals import read_special, read_words
from workbench.rewards.answers.numerals import MAX_LENGTH, may_be_list, read_numeral
from workbench.rewards.answers.spelling import plain

_THERE_IS = re.compile(
    r"^(?:(?:so|thus|hence|therefore),? )?there (?:is|are) (?=no )", re.IGNORECASE
)


def last_letter(text: str, wanted: Kind) -> str | None:
    """The letter that is all of `text`, or the one choice that its last sentence with choices
    names."""
    if wanted != "letter":
        return None
    if len(text) < 2 * MAX_LENGTH and len(plain(text).strip(" ().")) == 1:
        return plain(text).strip(" ().")
    with_text = letter_with_text(text) if len(text) < MAX_LENGTH else None
    if with_text is not None:
        return with_text
    for sentence in _considered(text):
        all_named = named_letters(sentence)
        # Nobody answers with so many choices.
        if len(all_named) > MOST:
            return None
        named = [m for m in all_named if not denied(sentence, m[1], m[2])]
        if named:
            hedged = any(is_hedged(sentence, start, end) for _, start, end in named)
            letters = {letter for letter, _, _ in named}
            return letters.pop() if len(letters) == 1 and not hedged else None
    return None


def all_words(text: str, wanted: Kind) -> str | None:
    """All of a short `text`, where words are wanted."""
    bare = _THERE_IS.sub("", text.strip())
    return bare if wanted == "words" and len(bare) < 64 and is_answer(bare, wanted) else None


def all_value(text: str, wanted: Kind) -> str | None:
    """All of a short `text`, where it is one number, time or ratio, or infinity, and nothing
    else."""
    bare = text.strip()
    if wanted != "value" or len(bare) > 64 or "\n" in bare:
        return None
    numeral = None if may_be_list(bare) else read_numeral(bare)
    if numeral is not None:
        # Words that nobody knows may be anything: "5 maybe".
        return bare if numeral.counts and not numeral.unfinished else None
    words = read_words(bare)
    is_infinite = words is not None and words.parts[0].endswith("infinity")
    return bare if is_infinite or read_special(bare) is not None else None


def marked(text: str, wanted: Kind) -> str | None:
    """The last bold text or formula that is an answer, unless a later sentence has a number."""
    for sentence in _considered(text):
        marked = marked_spans(sentence)[-MOST:]
        spans = [s for s in marked if not _span_is_denied(sentence, s)]
        for i, span in reversed(list(enumerate(spans))):
            if wanted == "letter":
                return leading_letter(span.content[:MAX_LENGTH])
            content = last_side(with_unit(span.content, sentence[span.end :]))
            if not is_answer(content, wanted):
                continue
            between = sentence[spans[i - 1].end : span.start] if i else "x"
            # "42 or 43" is one answer, and not the answer 43.
            joined = between.strip() and len(between) < 40 and JOINT.fullmatch(between)
            return f"{spans[i - 1].content}, {content}" if joined else content
        if re.search("[0-9]", sentence):
            return None
    return None


def last_number(text: str, wanted: Kind) -> str | None:
    """The last number with all that belongs to it: its fraction, its other side of "and", its
    unit; a calculation's result."""
    if wanted == "letter":
        return None
    for sentence in _considered(text):
        for span in reversed(number_spans(sentence)[-MOST:]):
            if not _span_is_denied(sentence, span):
                return with_unit(span.content, sentence[span.end :])
    return None


def _span_is_denied(sentence: str, span: Span) -> bool:
    """Whether `sentence` denies the number, or the number with its unit: "5 apples is wrong"."""
    unit = len(with_unit(span.content, sentence[span.end :])) - len(span.content)
    return denied(sentence, span.start, span.end) or (
        unit > 0 and refuted(sentence, span.start, span.end + unit)
    )


def _considered(text: str) -> Iterator[str]:
    """The sentences of `text` that say something, the last one first."""
    for sentence in reversed(sentences(text[-TAIL:])[-MOST_SENTENCES:]):
        if not sentence.rstrip(" *_\"')").endswith("?"):
            yield sentence
