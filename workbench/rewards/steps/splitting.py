"""Where the steps of a text end: its paragraphs, lines, sentences, or the equations of its
working."""

from __future__ import annotations

import re
from collections.abc import Callable

from workbench.rewards.steps.equations import equations

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_LINE = re.compile(r"\n\s*")
# A lower-case letter behind the white space: "e.g. the", "approx. half" go on.
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]{0,3}\s+(?![a-z])")


def _ends(text: str, border: re.Pattern[str]) -> list[int]:
    """Ends of the parts between borders, each with its border; blank parts are none."""
    places = [match.end() for match in border.finditer(text)]
    ends: list[int] = []
    start = 0
    for end in [*places, len(text)]:
        if text[start:end].strip():
            ends.append(end)
            start = end
    # What is blank at the end belongs to the last step.
    if ends:
        ends[-1] = len(text)
    return ends


def _automatic(text: str) -> list[int]:
    """By the coarsest border that the text has."""
    for border in (_PARAGRAPH, _LINE):
        ends = _ends(text, border)
        if len(ends) > 1:
            return ends
    return _ends(text, _SENTENCE)


def _equations(text: str) -> list[int]:
    """The equations of the working, and the rest with the answer as the last step."""
    working, _, _ = text.partition("<answer>")
    ends = [found.end for found in equations(working) if found.end < len(text)]
    return [*ends, len(text)] if text.strip() else []


SPLITS: dict[str, Callable[[str], list[int]]] = {
    "auto": _automatic,
    "paragraphs": lambda text: _ends(text, _PARAGRAPH),
    "lines": lambda text: _ends(text, _LINE),
    "sentences": lambda text: _ends(text, _SENTENCE),
    "equations": _equations,
}
"""What a step is -> where the steps of a text end."""


def split_steps(text: str, by: str = "auto") -> list[int]:
    """Where the steps of `text` end, in characters, ascending; the last is the text's end, and a
    blank text has none.

    `by`: "paragraphs" (an empty line between), "lines", "sentences" (a stop, a question or an
    exclamation mark, white space, and no lower-case letter), "equations" (see `equations`, before
    the answer tag; the answer is the last step), or "auto": the first of the first three that gives
    more than one step. Raises ValueError for another name.
    """
    if by not in SPLITS:
        raise ValueError(f"by={by!r} is unknown. Choose one of {', '.join(SPLITS)}.")
    return SPLITS[by](text)
