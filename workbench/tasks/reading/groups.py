"""What results are grouped by: a problem's subject and level, as its data has them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from workbench.tasks.reading.columns import value_at

_NUMBERED = re.compile(r"(?:level|lvl|grade)?\s*([0-9]{1,3})", re.IGNORECASE)
"""MATH writes "Level 5", MATH-500 the number alone."""

_UNKNOWN = re.compile(r"(?:level\s*)?\?*", re.IGNORECASE)
"""MATH has three problems of "Level ?"."""

MAX_LENGTH = 80
"""Characters; a longer text is no name of a group."""


def subject_of(row: Mapping[str, Any], key: str | None) -> str | None:
    """The subject at `key`; None where the row has none."""
    value = None if key is None else value_at(row, key)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_LENGTH:
        return None
    return value.strip()


def level_of(row: Mapping[str, Any], key: str | None) -> float | str | None:
    """The level at `key`: a number where it is one or is written as one ("Level 5"), else its
    word; None where the row has none, or says that it is unknown ("Level ?")."""
    value = None if key is None else value_at(row, key)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value)
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    text = value.strip()
    if _UNKNOWN.fullmatch(text):
        return None
    numbered = _NUMBERED.fullmatch(text)
    return text if numbered is None else int(numbered.group(1))


def _number(value: float) -> float | None:
    """A table with a gap in its column writes all its whole numbers as 4.0."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value
