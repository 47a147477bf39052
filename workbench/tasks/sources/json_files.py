"""Rows of JSON: one object per line, or one list of objects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from workbench.tasks.sources import bounds
from workbench.tasks.sources.bounds import Rows, lines_of
from workbench.tasks.types import TaskError


def rows_of_lines(path: Path) -> Rows:
    for number, line in lines_of(path):
        if not line.strip():
            continue
        try:
            row = parsed(line.decode("utf-8-sig"))
        except (TaskError, UnicodeDecodeError) as error:
            what = str(error)
            if isinstance(error, UnicodeDecodeError):
                what = f"not UTF-8 ({error.reason})"
            begins = line[:80].decode("utf-8", "backslashreplace").strip()
            raise TaskError(
                f"{path}, line {number}: {what.rstrip('.')}. The line begins: {begins!r}"
            ) from error
        yield number, row


def parsed(text: str) -> Mapping[str, Any]:
    """The JSON object in `text`. Raises `TaskError` for anything else."""
    row = _json(text)
    if not isinstance(row, Mapping):
        raise TaskError(
            f"holds a {type(row).__name__}, expected an object with a question and an answer."
        )
    return row


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object_of_pairs)
    # A JSONDecodeError, an integer of 5000 digits, nesting without end.
    except (ValueError, RecursionError) as error:
        raise TaskError(f"not valid JSON ({error})") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; a key that comes twice is refused, as the last one would win in silence."""
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        doubled = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {doubled!r:.60} comes twice in one object; rename one")
    return value


def rows_of_json(path: Path) -> Rows:
    """A list of objects, or an object with such a list in it; or lines of JSON under that name."""
    if _holds_lines(path):
        yield from rows_of_lines(path)
        return
    size = path.stat().st_size
    if size > bounds.MAX_JSON_BYTES:
        raise TaskError(
            f"{path} has {size / 1e6:,.0f} MB, and no more than "
            f"{bounds.MAX_JSON_BYTES / 1e6:,.0f} are read as one JSON text. "
            "Write it as JSONL, one object per line, or as parquet."
        )
    try:
        value = _json(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 ({error.reason}). Save it as UTF-8.") from error
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from error
    lists = [value]
    if isinstance(value, Mapping):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise TaskError(
            f"{path}: holds a {type(value).__name__}, expected a list of objects, or an object "
            "with one such list. Write one JSON object per line into a .jsonl file."
        )
    for number, row in enumerate(lists[0]):
        if not isinstance(row, Mapping):
            raise TaskError(f"{path}, row {number}: holds {row!r:.60}, expected an object.")
        yield number, row


def _holds_lines(path: Path) -> bool:
    """Whether the first line is an object by itself and another line follows."""
    try:
        lines = (line for _, line in lines_of(path) if line.strip())
        first = next(lines, b"")
        if not first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") or next(lines, None) is None:
            return False
        return isinstance(json.loads(first.decode("utf-8-sig")), Mapping)
    # A whole list in one line, or an object over many: not lines of JSON.
    except (TaskError, ValueError, RecursionError):
        return False
