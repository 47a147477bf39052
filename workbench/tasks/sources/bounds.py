"""How much of a data file is read, whatever the file holds or becomes meanwhile."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


_MARKS = {
    # In this order: the mark of UTF-32 begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(path: Path) -> str:
    """What the first bytes of a file of text say: UTF-8, or what Windows calls Unicode. Raises
    `TaskError` where it is none of them."""
    with path.open("rb") as file:
        head = file.read(4)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise TaskError(
            f"{path}: no UTF-8, and without the mark that UTF-16 begins with (its first bytes are "
            f"{head!r}). Save it as UTF-8."
        )
    return "utf-8-sig"


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line in UTF-8, none longer than the bound. Raises
    `TaskError`."""
    read = 0
    for number, line in enumerate(_raw_lines(path), start=1):
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


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Lines up to one byte more than the bound; of a file in another encoding in UTF-8."""
    encoding = encoding_of(path)
    if encoding == "utf-8-sig":
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                yield line
        return
    # The bytes of a line end only where its characters do.
    with path.open(encoding=encoding, newline="\n") as text:
        try:
            while characters := text.readline(MAX_LINE_BYTES + 1):
                yield characters.encode()
        except UnicodeError as error:
            raise TaskError(
                f"{path}: begins as {encoding.upper()} does and cannot be read as that ({error}). "
                "Save it as UTF-8."
            ) from error
