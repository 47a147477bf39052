"""Rows that come with a picture, a sound, a film or tools, of which a policy of text alone would
never know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.tasks.types import TaskError

_KEY = re.compile(
    r"(?:decoded_)?(?:image|img|picture|figure|video|audio)s?"
    r"(?:_?[0-9]+|_(?:path|url|file|filename|bytes|base64)s?)?",
    re.IGNORECASE,
)
_MARK = re.compile(
    r"<\|?(?:image|video|audio)(?:_?[0-9]+|_pad)?\|?>|<\|vision_start\|>"
    r"|!\[[^\]\n]{0,200}\]\([^)\n]{1,400}\)|\\includegraphics\b|<img\s[^>\n]{0,400}src="
)

TOOL_KEYS = ("tools", "functions", "available_tools")
"""Keys in which a data set offers tools for its question."""


def check_text_alone(row: Mapping[str, Any], text: str) -> None:
    """Raises `TaskError` where `row` has a key with a picture in it or `text` a mark for one."""
    key = next((name for name, value in row.items() if _KEY.fullmatch(name) and _holds(value)), "")
    mark = _MARK.search(text)
    if not key and mark is None:
        return
    where = f"key {key!r:.60}"
    if not key and mark is not None:
        where = f"the mark {mark.group()!r:.60}"
    raise TaskError(
        f"the row comes with a picture, sound or film ({where}), and the policy reads text alone: "
        "it would be trained to guess. Leave such rows out of the data."
    )


def check_no_tools(row: Mapping[str, Any]) -> None:
    """Raises `TaskError` where `row` offers tools, of which the policy would never hear."""
    key = next((name for name in TOOL_KEYS if _holds(_parsed(row.get(name)))), None)
    if key is not None:
        raise TaskError(
            f"the row offers tools (key {key!r}), and the policy answers in text alone, without "
            "them. Leave such rows out, or the key where the question needs none."
        )


def _parsed(value: Any) -> Any:
    """A list that stands there as JSON, so that '[]' is an empty one."""
    empty = isinstance(value, str) and value.strip() in ("", "[]", "{}", "null")
    return None if empty else value


def _holds(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", [], {}, ())
