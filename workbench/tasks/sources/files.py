"""Rows of a data file, by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.tasks.sources import bounds
from workbench.tasks.sources.bounds import Rows
from workbench.tasks.sources.json_files import rows_of_json, rows_of_lines
from workbench.tasks.sources.tables import rows_of_csv, rows_of_parquet
from workbench.tasks.types import TaskError


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
    if size > bounds.MAX_FILE_BYTES:
        raise TaskError(
            f"{path} has {size / 1e9:.1f} GB, no more than "
            f"{bounds.MAX_FILE_BYTES / 1e9:.1f} are read "
            "(all problems are kept in memory). Take a part of it."
        )


READERS: dict[str, Callable[[Path], Rows]] = {
    ".jsonl": rows_of_lines,
    ".json": rows_of_json,
    ".csv": rows_of_csv,
    ".tsv": rows_of_csv,
    ".parquet": rows_of_parquet,
}
"""What reads a file, by the ending of its name."""
