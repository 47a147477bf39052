"""The answer in the last `\\boxed{x}` of a text."""

from __future__ import annotations

import re

from workbench.rewards.answers.candidates import denied, with_unit
from workbench.rewards.answers.equal import Kind
from workbench.rewards.answers.likely import JOINT, MOST, TAIL
from workbench.rewards.answers.numerals import MAX_LENGTH
from workbench.rewards.answers.spelling import closing

_BOX = re.compile(r"\\(?:boxed|fbox) ?(?=[{0-9A-Za-z])")


def boxed(text: str, wanted: Kind) -> str | None:
    """What stands in the last box; all of them where several are joined by "and" or "or"."""
    tail = text[-TAIL:]
    boxes = [box for box in (_box_at(tail, m) for m in list(_BOX.finditer(tail))[-MOST:]) if box]
    if not boxes:
        return None
    contents = [boxes[-1][2]]
    start = boxes[-1][0]
    for earlier, (_, end, content) in ((b[0], b) for b in reversed(boxes[:-1])):
        if not JOINT.fullmatch(tail[end:start][:40]) or len(tail[end:start]) > 40:
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


def _is_denied(text: str, start: int, end: int) -> bool:
    line = text.rfind("\n", 0, start) + 1
    return denied(text[line:], start - line, end - line)
