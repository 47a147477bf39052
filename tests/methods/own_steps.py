"""A step-reward function of a user's own, named by its file."""

from __future__ import annotations

from typing import Any


def halves(prompts: Any, completions: Any, **columns: Any) -> list[list[tuple[int, float]]]:
    """Two steps, paid by the letters that they end with."""
    found = []
    for completion in completions:
        text = completion[0]["content"]
        ends = sorted({len(text) // 2, len(text)} - {0})
        found.append([(end, float(ord(text[end - 1]) % 2)) for end in ends])
    return found
