"""Rows of a data file: JSONL, JSON, CSV or parquet, read within bounds that the file cannot
move."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from workbench.tasks.types import TaskError

MAX_LINE_BYTES = 16 << 20
"""A longer line holds no problem: no prompt of 16 MB is trained on."""

MAX_FILE_BYTES = 4 << 30
"""Of text that is read, or of a parquet file's columns unpacked: all problems are kept in
memory."""

MAX_JSON_BYTES = 512 << 20
"""A .json file is read whole, and takes some ten times its size in memory."""

MAX_ROWS = 5_000_000
"""Rows of one source; a stream of a data set may have no end."""

Rows = Iterator[tuple[int, Mapping[str, Any]]]
"""Number and content of each row: lines from 1, as an editor counts, rows of a table from 0."""


def rows_of_file(path: Path) -> Rows:
    """The rows of one file, by the ending of its name. Raises `TaskError` with file and line."""
    _check_path(path)
    return READERS[path.suffix.lower()](path)


def unit_of(path: Path) -> str:
    """What a place in the file is called."""
    return "line" if path.suffix.lower() in (".jsonl", ".csv", ".tsv") else "row"


def _check_path(path: Path) -> None:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in READERS)[:5]
        found = f", such as {', '.join(inside)}" if inside else ""
        raise TaskError(f"{path} is a folder. Name a file in it{found}.")
    if not path.exists():
        raise TaskError(f"{path}: there is no such file.")
    # A pipe or a device may have no end, or never begin.
    if not path.is_file():
        raise TaskError(f"{path} is a pipe or a device, expected a file. Write its rows to one.")
    if path.suffix.lower() not in READERS:
        raise TaskError(
            f"{path}: its name ends in {path.suffix!r}, expected one of {', '.join(READERS)}. "
            "Rename or convert it."
        )
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise TaskError(
            f"{path} has {size / 1e9:.1f} GB, no more than {MAX_FILE_BYTES / 1e9:.1f} are read "
            "(all problems are kept in memory). Take a part of it."
        )


# ------------------------------------------------------------------------------ lines of JSON


def _jsonl(path: Path) -> Rows:
    for number, line in _lines(path):
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


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line, none longer than the bound."""
    read = 0
    number = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            read += len(line)
            if len(line) > MAX_LINE_BYTES:
                raise TaskError(
                    f"{path}, line {number}: longer than {MAX_LINE_BYTES >> 20} MB. Expected one "
                    "JSON object per line; a file that is one JSON list is called .json."
                )
            # The file may have grown since its size was asked.
            if read > MAX_FILE_BYTES:
                raise TaskError(f"{path} has no end within {MAX_FILE_BYTES / 1e9:.1f} GB.")
            yield number, line


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
        return json.loads(text, parse_constant=_no_constant)
    # A JSONDecodeError, an integer of 5000 digits, nesting without end.
    except (ValueError, RecursionError) as error:
        raise TaskError(f"not valid JSON ({error})") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# -------------------------------------------------------------------------------- one JSON list


def _json_file(path: Path) -> Rows:
    """A list of objects, or an object with such a list in it; or lines of JSON under that name."""
    if _holds_lines(path):
        yield from _jsonl(path)
        return
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise TaskError(
            f"{path} has {size / 1e6:,.0f} MB, and no more than {MAX_JSON_BYTES / 1e6:,.0f} are "
            "read as one JSON text. Write it as JSONL, one object per line, or as parquet."
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
        lines = (line for _, line in _lines(path) if line.strip())
        first = next(lines, b"")
        if not first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") or next(lines, None) is None:
            return False
        return isinstance(json.loads(first.decode("utf-8-sig")), Mapping)
    # A whole list in one line, or an object over many: not lines of JSON.
    except (TaskError, ValueError, RecursionError):
        return False


# --------------------------------------------------------------------------------------- tables


def _csv(path: Path) -> Rows:
    texts = _decoded(path)
    try:
        header = next(texts, "")
        # A spreadsheet writes semicolons where the comma is the decimal sign.
        separator = max(",;\t", key=header.count)
        names = next(csv.reader([header], delimiter=separator, strict=True), [])
        reader = csv.reader(texts, delimiter=separator, strict=True)
        for cells in reader:
            number = reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(names):
                raise TaskError(
                    f"{path}, line {number}: {len(cells)} cells, the first line names "
                    f"{len(names)} columns. Put cells that hold a {separator!r} in quotes."
                )
            yield number, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise TaskError(f"{path}: not valid CSV ({error}). Write it anew, or as JSONL.") from error


def _decoded(path: Path) -> Iterator[str]:
    for number, line in _lines(path):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise TaskError(
                f"{path}, line {number}: not UTF-8 ({error.reason}). Save it as UTF-8."
            ) from error


def _parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > MAX_FILE_BYTES or file.metadata.num_rows > MAX_ROWS:
            raise TaskError(
                f"{path} unpacks to {file.metadata.num_rows:,} rows of {unpacked / 1e9:.1f} GB, no "
                f"more than {MAX_ROWS:,} and {MAX_FILE_BYTES / 1e9:.1f} GB are read. Take a part."
            )
        number = 0
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                yield number, row
                number += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: not a parquet file that can be read ({error!s:.200}).") from error


READERS: dict[str, Callable[[Path], Rows]] = {
    ".jsonl": _jsonl,
    ".json": _json_file,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
"""What reads a file, by the ending of its name."""
