"""What to say of a key that is not there: where its path breaks off, and which key was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any


def names_in(row: Mapping[str, Any]) -> list[str]:
    """The keys, and those of the objects in them with dots, as they would be named."""
    names = []
    for key, value in sorted(row.items()):
        names += [f"{key}.{inner}" for inner in value] if isinstance(value, Mapping) else [key]
    return names


def where_it_breaks(row: Mapping[str, Any], key: str) -> str:
    """A sentence for a key with dots: the first part that leads nowhere, and what is there
    instead. Empty where the first part is no key of the row."""
    first, *parts = key.split(".")
    if first not in row:
        return ""
    reached = first
    value = row[first]
    for part in parts:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif _is_list(value) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return f"{reached} is {_kind_of(value, reached)}"
        reached = f"{reached}.{part}"
    return ""


def did_you_mean(row: Mapping[str, Any], wanted: Iterable[str]) -> str:
    """A question that names the key most like one of `wanted`; empty where none is like it."""
    by_bare = {_bare(name): name for name in reversed([*row, *names_in(row)])}
    for key in wanted:
        close = difflib.get_close_matches(_bare(key), by_bare, n=1, cutoff=0.8)
        if close:
            return f"Did you mean {by_bare[close[0]]!r:.60}?"
    return ""


def _kind_of(value: Any, reached: str) -> str:
    if isinstance(value, Mapping):
        return f"an object with the keys {list(value)!r:.120}"
    if not _is_list(value):
        return f"{value!r:.60}, which has no parts"
    if not value:
        return "an empty list"
    return f"a list of {len(value)}, whose parts are numbered from 0: {reached}.0"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _bare(name: str) -> str:
    """Without capitals, blanks and underscores: those are what people mistype."""
    return re.sub(r"[\s_-]+", "", name).casefold()
