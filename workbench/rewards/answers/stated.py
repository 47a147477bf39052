"""The answer that a text announces: "the answer is 42", "Answer: 42"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.rewards.answers.candidates import (
    Span,
    denied,
    is_question,
    is_refuted,
    marked_spans,
    with_unit,
)
from workbench.rewards.answers.choices import leading_letter
from workbench.rewards.answers.equal import Kind
from workbench.rewards.answers.likely import MOST, NOT, TAIL, is_answer
from workbench.rewards.answers.numerals import MAX_LENGTH
from workbench.rewards.answers.supposed import is_supposed

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

_LINK = re.compile(
    r"\b(?:answer|ans)\b[*_]{0,3}(?P<link>[^.\n:=?]{0,60}?)"
    r"(?P<verb>\b(?:is|are|was|be|equals|lies|exceeds|differs|fails|excludes|ranges)\b"
    r"(?: equal to| given by)?|[:=])[*_]{0,3}\s*[:=]?"
    r"(?:\s*(?:exactly|simply|just|therefore|thus|then|clearly|indeed|actually|definitely|"
    r"probably|now|hence|option|choice|both)\b,?)*\s*",
    re.IGNORECASE,
)

_NO = re.compile(r"\b(?:not|never|cannot|neither|nor|no)\b|n['’]t\b", re.IGNORECASE)


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

_LEFT_OPEN = re.compile(r"^(?!.*\\[(\[]|.*\$.*\$)(.*?)(?:\\[)\]]|[$\"' ])+$", re.DOTALL)
_SPELLED_OUT = re.compile(
    r"^(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]{3,6}teen"
    r"|[a-z]{3,5}ty|hundred|thousand|million|and)[ -])+\(([0-9][0-9.,]*)\)",
    re.IGNORECASE,
)


def stated(text: str, wanted: Kind) -> tuple[str | None, str]:
    """What follows the last "the answer is" that is neither denied nor asked; and `text` without
    the statements that say of the answer what cannot be read: what they hold is none."""
    tail = text[-TAIL:]
    for match in reversed(list(_LINK.finditer(tail))[-MOST:]):
        said = tail[match.end() :][: 2 * MAX_LENGTH]
        negated = _NO.search(match["link"]) is not None
        if is_question(tail, match.end()):
            continue
        beside = NOT.match(said) or _BOUND.match(said) or match["verb"].lower() in _OTHER_VERBS
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
    elif NOT.match(text, match.end()):
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
    return content if is_answer(content, wanted) else None


def _joined(text: str, spans: Sequence[Span]) -> list[Span]:
    """The first of `spans` and those that "and", "or" or a comma joins to it."""
    joined = [spans[0]]
    for span in spans[1:]:
        if not _BESIDE.fullmatch(text[joined[-1].end : span.start][:40]):
            break
        joined.append(span)
    return joined
