"""How much of a data file is read, whatever the file holds or becomes meanwhile."""

from __future__ import annotations

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


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
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
