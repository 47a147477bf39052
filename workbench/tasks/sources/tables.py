"""Rows of a table: CSV, parquet."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.tasks.sources import bounds
from workbench.tasks.sources.bounds import Rows, lines_of
from workbench.tasks.types import TaskError


def rows_of_csv(path: Path) -> Rows:
    texts = _decoded(path)
    try:
        header = next(texts, "")
        # A spreadsheet writes semicolons where the comma is the decimal sign.
        separator = max(",;\t", key=header.count)
        names = next(csv.reader([header], delimiter=separator, strict=True), [])
        check_names(str(path), names)
        reader = csv.reader(texts, delimiter=separator, strict=True)
        # A cell may hold line breaks: a row is named by the line in which it begins.
        begins = 2
        for cells in reader:
            number = begins
            begins = reader.line_num + 2
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


def check_names(label: str, names: Sequence[str]) -> None:
    """Raises `TaskError` where two columns have one name: the last would win in silence. Blank
    ones, as a spreadsheet leaves behind its last column, are no names."""
    counts = Counter(filter(None, names))
    doubled = [name for name, count in counts.items() if count > 1]
    if doubled:
        raise TaskError(f"{label} has two columns {doubled[0]!r:.60}. Rename one of them.")


def _decoded(path: Path) -> Iterator[str]:
    for number, line in lines_of(path):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise TaskError(
                f"{path}, line {number}: not UTF-8 ({error.reason}). Save it as UTF-8."
            ) from error


def rows_of_parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        check_names(str(path), file.schema_arrow.names)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > bounds.MAX_FILE_BYTES or file.metadata.num_rows > bounds.MAX_ROWS:
            raise TaskError(
                f"{path} unpacks to {file.metadata.num_rows:,} rows of {unpacked / 1e9:.1f} GB, no "
                f"more than {bounds.MAX_ROWS:,} and {bounds.MAX_FILE_BYTES / 1e9:.1f} GB are read. "
                "Take a part."
            )
        number = 0
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                yield number, row
                number += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: not a parquet file that can be read ({error!s:.200}).") from error
