"""The likeliest answer in a text that has no form: what a lenient reward pays for.

An answer is a whole expression: digits inside a larger one are none, and neither is what a text
denies, asks, or offers beside another. Everything here takes time linear in the text, whatever the
text holds: completions are hostile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.rewards.answers.candidates import (
    denied,
    is_question,
    marked_spans,
    number_spans,
    sentences,
    with_unit,
)
from workbench.rewards.answers.equal import Kind
from workbench.rewards.answers.literals import read_phrase, read_special, read_words
from workbench.rewards.answers.numerals import MAX_LENGTH, read_numeral
from workbench.rewards.answers.several import split_label
from workbench.rewards.answers.spelling import closing, plain

TAIL = 8000
"""Characters at the end of a text in which an answer without a tag is looked for."""

_TAG = re.compile("</?(?:think|answer)>")
MOST = 20
"""Boxes, or answers announced, that are looked at; the last ones."""

_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
_BOX = re.compile(r"\\(?:boxed|fbox) ?(?=[{0-9A-Za-z])")
_JOINT = re.compile(
    r"[\s$.,*]*(?:and|or|,|\\text(?:rm)?\{\s*(?:and|or)\s*\})?[\s$*]*", re.IGNORECASE
)
_LINK = re.compile(
    r"\b(?:answer|ans)\b[*_]{0,3}(?P<link>[^.\n:=?]{0,60}?)"
    r"(?:\b(?:is|are|was|be|equals)\b(?: equal to| given by)?|[:=])[*_]{0,3}\s*[:=]?"
    r"(?:\s*(?:exactly|simply|just|therefore|thus|then|clearly|indeed|actually|definitely|"
    r"probably|now|hence|option|choice|both)\b,?)*\s*",
    re.IGNORECASE,
)
_NO = re.compile(r"\b(?:not|never|cannot|neither|nor|no)\b|n['’]t\b", re.IGNORECASE)
_NOT = re.compile(r"(?:not|never|neither|nor|anything but|other than|un\w+able)\b", re.IGNORECASE)
_BOUND = re.compile(
    r"(?:(?:no )?(?:less|more|greater|fewer|larger|smaller|bigger|higher|lower) than|at least"
    r"|at most|over|under|up to|hardly|near|nearly|almost|approximately|roughly|twice|double|triple"
    r"|(?:the )?(?:half|third|quarter|square|cube|root|percent|[0-9]+/[0-9]+|[0-9]+%) of)\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"[^.!?\n]{0,40}\b(?:but|wait|actually|rather|instead)\b[^.!?\n]{0,60}?[0-9]", re.IGNORECASE
)
_ENDS = re.compile(
    r",? or so\b|[.!?;](?:\s|$)|\n|,? (?:because|since|so|which|where|when|but|after|making|as|for"
    r"|not|rather than|instead of|that is)\b|,? \((?!.{0,3}[-+]?[0-9]+\))"
)
_LEFT_OPEN = re.compile(r"^(?!.*\\[(\[]|.*\$.*\$)(.*?)(?:\\[)\]]|[$\"' ])+$", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")
_COMMAND = re.compile(r"\\[A-Za-z]+|\b(?:sin|cos|tan|log|ln|exp|sqrt|pi|infinity)\b")
_LETTER = re.compile(r"\(?([A-Za-z])\)?(?![A-Za-z0-9'^_+*/=-])")
_CHOICE = re.compile(
    r"\(([A-Z])\)|\b(?:option|choice|choose|pick|select)s? \(?([A-Z])\b\)?", re.ASCII
)
_HEDGE = re.compile(r"[\s*,)]*(?:\b(?:or|and|nor)\b|/|,)[\s*]*\(?[A-Z]\b\)?(?!\w)")


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
        part = _STRUCK.sub(" ", _TAG.sub("\n", part))
        for find in (
            _after_hashes,
            _boxed,
            _stated,
            _last_letter,
            _all_words,
            _marked,
            _last_number,
        ):
            answer = (find(part, wanted) or "").strip()
            if answer:
                return answer
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
    return line if found and at_line_start and _is_answer(line, wanted) else None


def _boxed(text: str, wanted: Kind) -> str | None:
    """What stands in the last box; all of them where several are joined by "and" or "or"."""
    tail = text[-TAIL:]
    boxes = [box for box in (_box_at(tail, m) for m in list(_BOX.finditer(tail))[-MOST:]) if box]
    if not boxes:
        return None
    contents = [boxes[-1][2]]
    start = boxes[-1][0]
    for earlier, (_, end, content) in ((b[0], b) for b in reversed(boxes[:-1])):
        if not _JOINT.fullmatch(tail[end:start][:40]) or len(tail[end:start]) > 40:
            break
        contents.insert(0, content)
        start = earlier
    if _is_denied(tail, start, boxes[-1][1]):
        return None
    if len(contents) > 1:
        return ", ".join(contents)
    return with_unit(contents[0], tail[boxes[-1][1] :])


def _box_at(text: str, match: re.Match[str]) -> tuple[int, int, str] | None:
    """Start, end and content of a box; None for one that is not closed."""
    place = match.end()
    if text[place] != "{":
        return match.start(), place + 1, text[place]
    end = closing(text[: place + 2 * MAX_LENGTH], place)
    return None if end is None else (match.start(), end + 1, text[place + 1 : end])


def _stated(text: str, wanted: Kind) -> str | None:
    """What follows the last "the answer is" that is neither denied nor asked."""
    tail = text[-TAIL:]
    for match in reversed(list(_LINK.finditer(tail))[-MOST:]):
        said = tail[match.end() :][: 2 * MAX_LENGTH]
        if _NO.search(match["link"]) or is_question(tail, match.end()):
            continue
        if _NOT.match(said) or _BOUND.match(said):
            continue
        answer = _leading(said, wanted)
        if answer is not None:
            return answer
    return None


def _leading(said: str, wanted: Kind) -> str | None:
    """The answer that `said` begins with: a marked one, or all up to the end of the clause."""
    span = next(iter(marked_spans(said)), None)
    if span is not None and not said[: span.start].strip("( "):
        content = with_unit(span.content, said[span.end :])
        rest = said[span.end :]
    else:
        end = _ENDS.search(said, 1)
        content = said[: end.start() if end else None]
        rest = said[end.start() if end else len(said) :]
    if wanted == "letter":
        return _letter(content, rest)
    if wanted == "value" and (_TAKEN_BACK.match(rest) or denied(rest, 0, 0)):
        return None
    content = _LEFT_OPEN.sub(r"\1", content.strip()[:MAX_LENGTH]).rstrip(", ")
    return content if _is_answer(content, wanted) else None


def _letter(content: str, rest: str = "") -> str | None:
    """The letter that `content` begins with, unless another one is offered beside it."""
    bare = plain(content[:MAX_LENGTH]).strip("\"'")
    match = _LETTER.match(bare)
    if match is None or _HEDGE.match(bare + rest[:20], match.end()):
        return None
    # "a lot" begins with an article.
    alone = not bare[match.end() :].strip(" .,)")
    closed = match[0].endswith(")") or bare[match.end() : match.end() + 1] in (".", ":", ",")
    return match[1] if alone or closed else None


def _last_letter(text: str, wanted: Kind) -> str | None:
    """The letter that is all of `text`, or the one choice that its last sentence with choices
    names."""
    if wanted != "letter":
        return None
    if len(text) < 2 * MAX_LENGTH and len(plain(text).strip(" ().")) == 1:
        return plain(text).strip(" ().")
    for sentence in _considered(text):
        named = list(_CHOICE.finditer(sentence))
        letters = {m[1] or m[2] for m in named if not denied(sentence, m.start(), m.end())}
        if letters:
            hedged = len(letters) > 1 or _HEDGE.match(sentence, named[-1].end())
            return None if hedged else letters.pop()
    return None


def _all_words(text: str, wanted: Kind) -> str | None:
    """All of a short `text`, where words are wanted."""
    bare = text.strip()
    return bare if wanted == "words" and len(bare) < 64 and _is_answer(bare, wanted) else None


def _marked(text: str, wanted: Kind) -> str | None:
    """The last bold text or formula that is an answer, unless a later sentence has a number."""
    for sentence in _considered(text):
        spans = [s for s in marked_spans(sentence) if not denied(sentence, s.start, s.end)]
        for i, span in reversed(list(enumerate(spans))):
            if wanted == "letter":
                return _letter(span.content)
            content = _last_side(with_unit(span.content, sentence[span.end :]))
            if not _is_answer(content, wanted):
                continue
            between = sentence[spans[i - 1].end : span.start] if i else "x"
            # "42 or 43" is one answer, and not the answer 43.
            joined = between.strip() and len(between) < 40 and _JOINT.fullmatch(between)
            return f"{spans[i - 1].content}, {content}" if joined else content
        if re.search("[0-9]", sentence):
            return None
    return None


def _last_number(text: str, wanted: Kind) -> str | None:
    """The last number with all that belongs to it: its fraction, its other side of "and", its
    unit; a calculation's result."""
    if wanted == "letter":
        return None
    for sentence in _considered(text):
        for span in reversed(number_spans(sentence)):
            if not denied(sentence, span.start, span.end):
                return with_unit(span.content, sentence[span.end :])
    return None


def _considered(text: str) -> Iterator[str]:
    """The sentences of `text` that say something, the last one first."""
    for sentence in reversed(sentences(text[-TAIL:])):
        if not sentence.rstrip(" *_\"')").endswith("?"):
            yield sentence


def _is_denied(text: str, start: int, end: int) -> bool:
    line = text.rfind("\n", 0, start) + 1
    return denied(text[line:], start - line, end - line)


def _last_side(content: str) -> str:
    """What stands behind the last `=` of a chain such as 7 · 6 = 42."""
    _, equals, right = content.rpartition("=")
    unequal = re.search(r"[<>≠≤≥]|\\(?:neq?|l[te]|g[te]|leq|geq|approx)(?![a-z])|!=", content)
    return right if equals and right.strip() and not unequal else content


def _is_answer(content: str, wanted: Kind) -> bool:
    """Whether `content` may be an answer of the wanted kind, and is not just talk."""
    if not content.strip() or len(content) > MAX_LENGTH:
        return False
    bare = split_label(content)[1]
    if wanted == "letter":
        return _letter(content) is not None
    if wanted == "words":
        return (read_words(bare) or read_special(bare) or read_phrase(bare)) is not None
    if read_numeral(bare) is not None or read_special(bare) is not None:
        return True
    # Two words or numbers side by side are a sentence; the one word of a list is "and" or "or".
    formula = re.sub(r"\b(?:and|or)\b", ",", _COMMAND.sub("", plain(bare)))
    return _WORD.search(formula) is None and re.search(r"[0-9A-Za-z\\π∞]", plain(bare)) is not None
