"""Where the assistant's header ends in a generation prompt, and its answer begins.

Both may be written in tags. What counts to the answer is what an answer would hold: the parts of a
known format, or what no header of a finished turn has. In doubt nothing does: a mark of a turn in
front of every answer would have the strict format refuse them all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

PARTS = frozenset(
    {
        *("answer", "reasoning", "reason", "reflection", "scratchpad", "solution"),
        *("think", "thinking", "thought", "thoughts"),
        *("seed:think", "longcat_think", "think_fast", "think_faster"),
    }
)
"""The names of an answer's parts, as the formats and the thinking models have them."""

_ROLES = frozenset(
    {"assistant", "ai", "bot", "gpt", "model", "response", "user", "human", "system"}
)
"""Words that say who speaks; they open no part of an answer."""

_TAG = re.compile(r"</?([A-Za-z][\w:-]*)>")
_TURN_MARK = re.compile(r"<[|｜][^<>]*>|<[^<>]*[|｜]>")
"""<|im_start|>, <｜Assistant｜>."""

_MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
_CUT_OFF_MARK = re.compile(r"[<\[][^<>\[\]]*$")


def opened_by(prompt: str, heads: Sequence[str], names: Collection[str]) -> str:
    """What `prompt`, the text between the question and the model's first letter, says of the
    answer.

    `heads`: what stands between the question and the answer in finished conversations. `names`: the
    parts of an answer that this template has, beside the known ones.
    """
    parts = _parts(names)
    if not heads:
        return _parts_at_the_end(prompt, parts)
    header = _without_parts(_common(heads), parts)
    # White space round an answer is often the template's in a finished turn, and the model's else.
    known = next((h for h in (header, header.rstrip()) if prompt.startswith(h)), "")
    opened = prompt.removeprefix(known)
    # The prompt goes another way than any finished turn does, or no answer was ever begun: then it
    # is open which letters are the header's, and only what is known for a part is one.
    if not known.strip() or _says_who_speaks(opened, parts):
        return _parts_at_the_end(prompt, parts)
    return opened if opened.strip() else ""


def header_of(prompt: str, opened: str, turn_before: str) -> str:
    """The assistant's header in `prompt`, such as "<|assistant|>"; '' where it has no mark of a
    turn. `turn_before`: what ends the turn of the question."""
    header = prompt.removesuffix(opened)
    # Phi-3's template ends the text where it opens no answer: the turn's end is what both have.
    header = header.removeprefix(_common([header, turn_before])).strip()
    return header if _MARK.search(header) else ""


def counterparts(template: str, after_answers: Sequence[str], question_tags: str) -> set[str]:
    """The names of the tags that `template` closes somewhere, but for those that stand round every
    answer or open the user's turn: they are the marks of turns."""
    closed = set(re.findall(r"</([A-Za-z][\w:-]*)>", template))
    marks = {name for text in (*after_answers, question_tags) for name in _TAG.findall(text)}
    # "</s>" ends a text.
    return {name for name in closed - marks - {"s"} if name.casefold() not in _ROLES}


def _parts(names: Collection[str]) -> str:
    """The pattern of a part's opening, or of a part that is closed at once."""
    known = "|".join(map(re.escape, sorted({*PARTS, *names}, key=len, reverse=True)))
    opening = (
        rf"(?i:<(?:{known})>|\[(?:{known})\]|◁(?:{known})▷"
        rf"|<\|(?:begin_of_|start_)?(?:{known})\|>|<\|channel>(?:{known}))"
    )
    closing = (
        rf"(?i:</(?:{known})>|\[/(?:{known})\]|◁/(?:{known})▷"
        rf"|<\|(?:/|end_of_|end_)(?:{known})\|>|<channel\|>)"
    )
    return rf"{opening}(?:\s*(?:{opening}|{closing}))*\s*"


def _parts_at_the_end(prompt: str, parts: str) -> str:
    # Only at the end: a question may be followed by words on the format, tags included.
    found = re.search(rf"{parts}\Z", prompt)
    return found.group() if found else ""


def _without_parts(header: str, parts: str) -> str:
    # What stands before every answer is still more than a header where the template writes its tags
    # in finished turns too.
    return header.removesuffix(_parts_at_the_end(header, parts))


def _says_who_speaks(opened: str, parts: str) -> bool:
    """Whether the text after the header is in truth a header."""
    other = re.sub(parts, "", opened)
    if _TURN_MARK.search(other):
        return True
    words = re.findall(r"\w+", other.casefold())
    # A tag that nobody knows may be a speaker's name, unless a known part stands before it.
    tagged = _TAG.search(other) and not re.match(rf"\s*{parts}", opened)
    return bool(tagged) or (len(words) == 1 and words[0] in _ROLES)


def _common(heads: Sequence[str]) -> str:
    letters = enumerate(zip(*heads, strict=False))
    shortest = min(map(len, heads))
    size = next((i for i, alike in letters if len(set(alike)) > 1), shortest)
    common = heads[0][:size]
    # Two tags that begin alike are no tag in common.
    return common if common in heads else _CUT_OFF_MARK.sub("", common)
