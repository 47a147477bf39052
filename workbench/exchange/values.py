"""The values of a row as what they must be. Whatever is something else is refused with its place
and value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError


class ImportFileError(WorkbenchError, ValueError):
    """A file of another trainer that cannot be read as what it was said to be."""


def text_of(place: str, what: str, value: Any) -> str:
    """A text, or the turns of a conversation as one. Raises `ImportFileError`."""
    if isinstance(value, str):
        return value
    turns: list[Any] = value if isinstance(value, list) and value else [None]
    if not all(isinstance(t, Mapping) and isinstance(t.get("content"), str) for t in turns):
        raise ImportFileError(
            f"{place}: {what} is {value!r:.60}, expected a text or a list of messages."
        )
    if len(turns) == 1:
        return str(turns[0]["content"])
    return "\n\n".join(f"{turn.get('role', 'turn')}: {turn['content']}" for turn in turns)


def number_of(place: str, what: str, value: Any) -> float:
    """A finite number; NaN for none. Raises `ImportFileError`."""
    if value is None:
        return math.nan
    if not _is_number(value) or math.isinf(value):
        raise ImportFileError(f"{place}: {what} is {value!r:.60}, expected a finite number.")
    return float(value)


def whole_of(place: str, what: str, value: Any, low: int, high: int) -> int | None:
    """A whole number between `low` and `high`, or none. Raises `ImportFileError`."""
    if value is None:
        return None
    if not _is_whole(value) or not low <= value <= high:
        raise ImportFileError(
            f"{place}: {what} is {value!r:.60}, expected a whole number from {low} to {high}."
        )
    return int(value)


def list_of(place: str, what: str, value: Any) -> Sequence[Any]:
    """A list. Raises `ImportFileError`, for one that was written as a text too."""
    if not isinstance(value, list):
        hint = " Write it as a list of JSON, without quotes." if isinstance(value, str) else ""
        raise ImportFileError(
            f"{place}: {what} is {value!r:.60}, expected a list with a value for each token.{hint}"
        )
    return value


def ids_of(place: str, what: str, value: Any) -> np.ndarray:
    """int32 (T,), each from 0 up. Raises `ImportFileError`."""
    given = list_of(place, what, value)
    for position, one in enumerate(given):
        if not _is_whole(one) or not 0 <= one < 2**31:
            raise ImportFileError(
                f"{place}: {what}[{position}] is {one!r:.60}, expected a token id, a whole number "
                "from 0."
            )
    return np.array(given, np.int32)


def texts_of(place: str, what: str, value: Any) -> tuple[str, ...]:
    """The text of each token. Raises `ImportFileError`."""
    given = list_of(place, what, value)
    for position, one in enumerate(given):
        if not isinstance(one, str):
            raise ImportFileError(
                f"{place}: {what}[{position}] is {one!r:.60}, expected the text of a token."
            )
    return tuple(given)


LOGP_ROUNDING = 1e-4
"""So far above 0 a log-probability may be by rounding."""


def logps_of(place: str, what: str, value: Any) -> np.ndarray:
    """float32 (T,), natural logarithms of probabilities. Raises `ImportFileError`."""
    given = list_of(place, what, value)
    for position, one in enumerate(given):
        if not _is_number(one) or not math.isfinite(one) or one > LOGP_ROUNDING:
            raise ImportFileError(
                f"{place}: {what}[{position}] is {one!r:.60}, expected the logarithm of a "
                "probability, a finite number that is not above 0."
            )
    return np.array(given, np.float32)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
