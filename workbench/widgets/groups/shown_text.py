"""A completion as the groups show it: inert, cut to a length, what was searched for marked, its
answer underlined."""

from __future__ import annotations

import re

from workbench.widgets.base.text import safe_text
from workbench.widgets.groups.answer import Found

Span = tuple[int, int]


def marked(text: str, query: str, limit: int, answer: Found | None = None) -> str:
    """`text` made safe, each place of `query` marked; a long one is cut so that the first place
    stays in sight, or else its beginning and its end."""
    pieces = []
    at = 0
    for start, end in _in_sight(text, query, limit):
        pieces.append(_left_out(start - at))
        pieces.append(_underlined(text, start, end, query, answer))
        at = end
    return "".join(pieces) + _left_out(len(text) - at)


def _in_sight(text: str, query: str, limit: int) -> list[Span]:
    """The parts of a text that are shown."""
    if len(text) <= limit:
        return [(0, len(text))]
    place = re.search(re.escape(query), text, re.IGNORECASE) if query else None
    if place is None:
        half = limit // 2
        return [(0, half), (len(text) - half, len(text))]
    start = max(0, min(place.start() - limit // 2, len(text) - limit))
    return [(start, start + limit)]


def _underlined(text: str, start: int, end: int, query: str, answer: Found | None) -> str:
    """Text from start to end, with the answer where it lies within."""
    if answer is None or not (start <= answer.start and answer.start + len(answer.text) <= end):
        return _with_marks(text[start:end], query)
    after = answer.start + len(answer.text)
    kind, title = ("wb-given", "the answer, in its tag")
    if not answer.tagged:
        kind, title = ("wb-given wb-untagged", "the likeliest answer; it stands in no tag")
    inner = _with_marks(answer.text, query)
    return (
        f"{_with_marks(text[start : answer.start], query)}"
        f'<span class="{kind}" title="{title}">{inner}</span>'
        f"{_with_marks(text[after:end], query)}"
    )


def _with_marks(text: str, query: str) -> str:
    if not query:
        return safe_text(text, len(text))
    parts = re.split(f"({re.escape(query)})", text, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{safe_text(part, len(part))}</mark>" if i % 2 else safe_text(part, len(part))
        for i, part in enumerate(parts)
    )


def _left_out(characters: int) -> str:
    if not characters:
        return ""
    return f'<span class="wb-cut">… {characters:,} characters left out …</span>'
