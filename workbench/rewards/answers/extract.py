"""The likeliest answer in a text that has no form: what a lenient reward pays for.

An answer is a whole expression: digits inside a larger one are none, and neither is what a text
denies, asks, or offers beside another. Everything here takes time linear in the text, whatever the
text holds: completions are hostile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from workbench.rewards.answers.candidates import (
    Span,
    denied,
    is_question,
    is_refuted,
    marked_spans,
    number_spans,
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
from workbench.rewards.answers.literals import read_phrase, read_special, read_words
from workbench.rewards.answers.numerals import MAX_LENGTH, may_be_list, read_numeral
from workbench.rewards.answers.several import read_collection, split_label
from workbench.rewards.answers.spelling import closing, plain
from workbench.rewards.answers.supposed import is_supposed

TAIL = 8000
"""Characters at the end of a text in which an answer without a tag is looked for."""

_TAG = re.compile("</?(?:think|answer)>")
MOST = 20
"""Boxes, or answers announced, that are looked at, and in one sentence numbers, formulas and
choices; the last ones."""

MOST_SENTENCES = 60
"""Sentences that are looked at, the last ones."""

_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
_QUOTED = re.compile(r"^[ \t]{0,3}> ", re.MULTILINE)
_BOX = re.compile(r"\\(?:boxed|fbox) ?(?=[{0-9A-Za-z])")
_JOINT = re.compile(
    r"[\s$.,;/|&*]*(?:(?:and|or|alternatively)(?: else| maybe| perhaps| possibly)?[,:]?"
    r"|\\text(?:rm)?\{\s*(?:and|or)\s*\})?[\s$*]*",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\s*(?:[,;/|&]|,?\s*\b(?:and|or)\b)\s*(?:(?:and|or|else|maybe|perhaps|possibly)\s+)*",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    r"[\s.,;:()\[|/&–—-]*(?:or(?! so\b)|else|maybe|perhaps|possibly|alternatively|as well as|and)\b"
    r"|,? which (?:may|might|could)\b|,? when\b[^.\n]{0,80}\b(?:when|otherwise|else)\b"
    r"|\s*[;|/&]\s*[-+$]{0,2}[0-9][0-9.,]*\s*(?:$|[.!?;\n])",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"n['’]t\b|\b(?:not|never|nobody|no one|nowhere|hardly|cannot|(?<!no )doubt\w*|deny|denies"
    r"|false|wrong|incorrect|mistaken?|untrue|impossible|unlikely|if|unless|suppose|supposing|assume"
    r"|assuming)\b",
    re.IGNORECASE,
)
_OTHER_VERBS = frozenset(("lies", "exceeds", "differs", "fails", "excludes", "ranges"))
_STATEMENT_ENDS = re.compile(r"\n|[.!?](?:\s|$)")
_CLAUSE_ENDS = re.compile(r"[,;\n]|[.!?](?:\s|$)|\bbut\b")
_CONTRAST = re.compile(r"[;\n]|[.!?](?:\s|$)|(?<!anything )\bbut\b")
_THERE_IS = re.compile(
    r"^(?:(?:so|thus|hence|therefore),? )?there (?:is|are) (?=no )", re.IGNORECASE
)
_LINK = re.compile(
    r"\b(?:answer|ans)\b[*_]{0,3}(?P<link>[^.\n:=?]{0,60}?)"
    r"(?P<verb>\b(?:is|are|was|be|equals|lies|exceeds|differs|fails|excludes|ranges)\b"
    r"(?: equal to| given by)?|[:=])[*_]{0,3}\s*[:=]?"
    r"(?:\s*(?:exactly|simply|just|therefore|thus|then|clearly|indeed|actually|definitely|"
    r"probably|now|hence|option|choice|both)\b,?)*\s*",
    re.IGNORECASE,
)
_NO = re.compile(r"\b(?:not|never|cannot|neither|nor|no)\b|n['’]t\b", re.IGNORECASE)
_NOT = re.compile(
    r"(?:(?:by|in) no \w+|far from|no longer|not|never|neither|nor|anything but|other than"
    r"|un\w+able)\b",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(?:(?:no )?(?:less|more|greater|fewer|larger|smaller|bigger|higher|lower) than|at least"
    r"|at most|over|under|below|above|beyond|within|from|about|around|close to|half|up to|hardly"
    r"|near|nearly|almost|approximately|roughly|twice|double|triple"
    r"|(?:the )?(?:half|third|quarter|square|cube|root|percent|[0-9]+/[0-9]+|[0-9]+%) of)\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"[^.!?\n]{0,40}\b(?:but|wait|actually|rather|instead)\b[^.!?\n]{0,60}?[0-9]", re.IGNORECASE
)
_ENDS = re.compile(
    r",? or so\b|[.!?;](?:\s|$)|\n|,? (?:because|since|so|which|where|when|but|after|making|as|for"
    r"|not|rather than|instead of|that is)\b|,? in (?:total|all)\b|,? \((?!.{0,3}[-+]?[0-9]+\))"
)
_SPELLED_OUT = re.compile(
    r"^(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]{3,6}teen"
    r"|[a-z]{3,5}ty|hundred|thousand|million|and)[ -])+\(([0-9][0-9.,]*)\)",
    re.IGNORECASE,
)
_UNEQUAL = re.compile(
    r"[<>≠≤≥≈∼≢∨]|!=|\\(?:not|neg?|neq|l[te]|g[te]|[lg]eq(?:slant)?|approx|sim(?:eq)?|cong|vee|lor)"
    r"(?![a-z])"
)
_LEFT_OPEN = re.compile(r"^(?!.*\\[(\[]|.*\$.*\$)(.*?)(?:\\[)\]]|[$\"' ])+$", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")
_COMMAND = re.compile(r"\\[A-Za-z]+|\b(?:sin|cos|tan|log|ln|exp|sqrt|pi|infinity)\b")


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
        answer = _after_hashes(part, wanted) or _boxed(part, wanted)
        if answer is None:
            answer, part = _stated(part, wanted)
        for find in (_last_letter, _all_words, _all_value, _marked, _last_number):
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


def _stated(text: str, wanted: Kind) -> tuple[str | None, str]:
    """What follows the last "the answer is" that is neither denied nor asked; and `text` without
    the statements that say of the answer what cannot be read: what they hold is none."""
    tail = text[-TAIL:]
    for match in reversed(list(_LINK.finditer(tail))[-MOST:]):
        said = tail[match.end() :][: 2 * MAX_LENGTH]
        negated = _NO.search(match["link"]) is not None
        if is_question(tail, match.end()):
            continue
        beside = _NOT.match(said) or _BOUND.match(said) or match["verb"].lower() in _OTHER_VERBS
        doubted = _is_doubted(tail, match.start()) or is_supposed(tail, match.end(), match.end())
        if not (negated or beside or doubted):
            answer = _leading(said, wanted)
            if answer is not None:
                return answer, tail
            # "Answer: She has 42" announces a sentence, which is read as any other.
            if match["verb"] in (":", "=") and said[:1].isalpha():
                continue
        # "isn't 41; it is 42" goes on with something else.
        tail = tail[: match.start()] + "\n" + _after_statement(tail, match, negated)
    return None, tail


def _after_statement(text: str, match: re.Match[str], negated: bool) -> str:
    """What `text` says after the statement that `match` begins, and after what is offered beside
    it. "isn't 41; it is 42" and "is not 41 but 42" go on with something else."""
    if negated:
        end = _CLAUSE_ENDS.search(text, match.start())
    elif _NOT.match(text, match.end()):
        end = _CONTRAST.search(text, match.end())
    else:
        end = _STATEMENT_ENDS.search(text, match.end())
        if end and _ALTERNATIVE.match(text, end.start()):
            end = _STATEMENT_ENDS.search(text, end.end())
    return text[end.start() :] if end else ""


def _is_doubted(text: str, start: int) -> bool:
    """Whether the clause in which "answer" stands at `start` denies or supposes it: "I don't think
    the answer is 42"."""
    clause = re.split(
        r"[.,;:!?\n]|\b(?:so|thus|hence|therefore|then|and|but)\b", text[:start][-120:]
    )
    return _DOUBT.search(clause[-1]) is not None


def _leading(said: str, wanted: Kind) -> str | None:
    """The answer that `said` begins with: a marked one, with others joined to it, or all up to the
    end of the clause."""
    spans = marked_spans(said)
    if spans and not said[: spans[0].start].strip("( "):
        joined = _joined(said, spans)
        rest = said[joined[-1].end :]
        content = ", ".join(span.content for span in joined)
        if len(joined) == 1:
            content = with_unit(content, rest)
    else:
        end = _ENDS.search(said, 1)
        content = said[: end.start() if end else None]
        rest = said[end.start() if end else len(said) :]
    content = _SPELLED_OUT.sub(r"\1", content)
    if _ALTERNATIVE.match(rest) and wanted != "letter":
        return None
    if wanted == "letter":
        return None if is_refuted(rest) else leading_letter(content[:MAX_LENGTH], rest)
    if wanted == "value" and (_TAKEN_BACK.match(rest) or denied(rest, 0, 0) or is_refuted(rest)):
        return None
    content = _LEFT_OPEN.sub(r"\1", content.strip()[:MAX_LENGTH]).rstrip(", ")
    return content if _is_answer(content, wanted) else None


def _joined(text: str, spans: Sequence[Span]) -> list[Span]:
    """The first of `spans` and those that "and", "or" or a comma joins to it."""
    joined = [spans[0]]
    for span in spans[1:]:
        if not _BESIDE.fullmatch(text[joined[-1].end : span.start][:40]):
            break
        joined.append(span)
    return joined


def _last_letter(text: str, wanted: Kind) -> str | None:
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


def _all_words(text: str, wanted: Kind) -> str | None:
    """All of a short `text`, where words are wanted."""
    bare = _THERE_IS.sub("", text.strip())
    return bare if wanted == "words" and len(bare) < 64 and _is_answer(bare, wanted) else None


def _all_value(text: str, wanted: Kind) -> str | None:
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


def _marked(text: str, wanted: Kind) -> str | None:
    """The last bold text or formula that is an answer, unless a later sentence has a number."""
    for sentence in _considered(text):
        marked = marked_spans(sentence)[-MOST:]
        spans = [s for s in marked if not _span_is_denied(sentence, s)]
        for i, span in reversed(list(enumerate(spans))):
            if wanted == "letter":
                return leading_letter(span.content[:MAX_LENGTH])
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
        for span in reversed(number_spans(sentence)[-MOST:]):
            if not _span_is_denied(sentence, span):
                return with_unit(span.content, sentence[span.end :])
    return None


def _span_is_denied(sentence: str, span: Span) -> bool:
    """Whether `sentence` denies the number, or the number with its unit: "5 apples is wrong"."""
    unit = len(with_unit(span.content, sentence[span.end :])) - len(span.content)
    return denied(sentence, span.start, span.end) or (
        unit > 0 and denied(sentence, span.start, span.end + unit)
    )


def _considered(text: str) -> Iterator[str]:
    """The sentences of `text` that say something, the last one first."""
    for sentence in reversed(sentences(text[-TAIL:])[-MOST_SENTENCES:]):
        if not sentence.rstrip(" *_\"')").endswith("?"):
            yield sentence


def _is_denied(text: str, start: int, end: int) -> bool:
    line = text.rfind("\n", 0, start) + 1
    return denied(text[line:], start - line, end - line)


def _last_side(content: str) -> str:
    """What stands behind the last `=` of a chain such as 7 · 6 = 42."""
    _, equals, right = content.rpartition("=")
    unequal = _UNEQUAL.search(content) or _NOT.match(content.strip())
    return right if equals and right.strip() and not unequal else content


def _is_answer(content: str, wanted: Kind) -> bool:
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
