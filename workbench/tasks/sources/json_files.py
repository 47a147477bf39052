"""Rows of JSON: one object per line, or one list of objects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from workbench.tasks.sources import bounds
from workbench.tasks.sources.bounds import Rows, encoding_of, lines_of
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
    """A list of objects, or an object with such a list in it, or the training split of one with
    splits; or lines of JSON under that name."""
    if _holds_lines(path):
        yield from rows_of_lines(path)
        return
    value = _whole(path)
    lists = [value]
    if isinstance(value, Mapping):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        if _has_splits(value):
            lists = [value["train"]]
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise TaskError(
            f"{path}: holds a {type(value).__name__}, expected a list of objects, an object with "
            "one such list, or one with 'train' and 'test'. Write one JSON object per line into a "
            ".jsonl file."
        )
    yield from _objects(path, lists[0])


def held_out_in(path: Path, names: Sequence[str]) -> Rows | None:
    """The rows of the split beside 'train' in a .json file that holds both, the first of `names`
    that is there; None for any other file."""
    if not path.is_file() or path.suffix.lower() != ".json" or _holds_lines(path):
        return None
    value = _whole(path)
    if not isinstance(value, Mapping) or not _has_splits(value):
        return None
    name = next((name for name in names if isinstance(value.get(name), list)), None)
    return None if name is None else _objects(path, value[name])


def _has_splits(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("train"), list)


def _objects(path: Path, rows: list[Any]) -> Rows:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TaskError(f"{path}, row {number}: holds {row!r:.60}, expected an object.")
        yield number, row


def _whole(path: Path) -> Any:
    """The file as one JSON value."""
    size = path.stat().st_size
    if size > bounds.MAX_JSON_BYTES:
        raise TaskError(
            f"{path} has {size / 1e6:,.0f} MB, and no more than "
            f"{bounds.MAX_JSON_BYTES / 1e6:,.0f} are read as one JSON text. "
            "Write it as JSONL, one object per line, or as parquet."
        )
    encoding = encoding_of(path)
    try:
        return _json(path.read_text(encoding=encoding))
    except UnicodeError as error:
        said = encoding.removesuffix("-sig").upper()
        raise TaskError(f"{path}: not {said} ({error}). Save it as UTF-8.") from error
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from error


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
