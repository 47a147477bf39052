"""A record as plain files: CSV for the numbers, JSON for everything with text in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.store.files import DamagedError, RunRecordError
from workbench.runs.store.reader import Run
from workbench.runs.whole_folder import filled_folder

if TYPE_CHECKING:
    import pandas as pd

_NUMBER = re.compile(r"-?[0-9][0-9.e+-]*|-Infinity")
FILES = (
    "meta.json",
    "steps.csv",
    "evaluations.csv",
    "sampled_evaluations.csv",
    "knobs.csv",
    "samples.jsonl",
    "sampled_answers.jsonl",
    "events.jsonl",
)


def export_csv(run: Run | str | Path, folder: str | Path) -> list[Path]:
    """Write a run into `folder` (made if need be) and return the files.

    The numbers are CSV; a text in it that a spreadsheet would take for a formula has an apostrophe
    before it. Samples and events are JSON, an object a line, in ASCII, so that no text of a model
    can harm a reader. Per-token arrays stay in the record. Files of these names are replaced. A new
    folder is there whole or not at all. Raises `RunRecordError` where the disk refuses.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    folder = Path(folder).absolute()
    try:
        with filled_folder(folder) as draft:
            _write_tables(run, draft)
    except RunRecordError:  # one kind of them is an OSError
        raise
    except OSError as error:
        raise RunRecordError(
            f"{folder} cannot be written: {error.strerror}. Make room, or name another folder."
        ) from error
    return [folder / name for name in FILES]


def _write_tables(run: Run, folder: Path) -> None:
    steps = run.steps()
    _inert_table(steps).to_csv(folder / "steps.csv", index=False)
    tables = {
        "evaluations": run.evaluations(),
        "sampled_evaluations": run.sampled_evaluations(),
        "knobs": run.knobs(),
    }
    for name, frame in tables.items():
        for column in frame.columns.intersection(["extra", "old", "new", "asked"]):
            frame[column] = frame[column].map(json.dumps)
        _inert_table(frame).to_csv(folder / f"{name}.csv", index=False)
    _write_lines(
        folder / "samples.jsonl",
        (row for step in steps["step"] for row in _sample_rows(run, int(step))),
    )
    _write_lines(folder / "sampled_answers.jsonl", _rows(run.sampled_answers()))
    _write_lines(folder / "events.jsonl", _rows(run.events()))
    (folder / "meta.json").write_text(json.dumps(asdict(run.meta), indent=2) + "\n")


def _sample_rows(run: Run, step: int) -> list[dict[str, Any]]:
    """The completions of a step; in place of damaged ones a line that says so."""
    try:
        return _rows(run.samples(step))
    except DamagedError as error:
        return [{"step": step, "damaged": str(error)}]


FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet computes, in place of showing it."""


def _inert_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with texts and names of columns that a spreadsheet shows as they are: a formula has
    an apostrophe before it, lone surrogates are spelled out. Numbers, those in JSON included, stay
    numbers."""
    shown = frame.rename(columns=_inert_cell)
    for name in shown.select_dtypes(exclude="number").columns:
        shown[name] = shown[name].map(lambda cell: _inert_cell(cell) if _is_text(cell) else cell)
    return shown


def _is_text(cell: Any) -> bool:
    """A text, and none that is a negative number."""
    return isinstance(cell, str) and not _NUMBER.fullmatch(cell)


def _inert_cell(text: str) -> str:
    # A lone carriage return ends a row for most readers, quoted or not.
    shown = text.encode("utf-8", "backslashreplace").decode().replace("\r", "\\r")
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; NaN becomes null."""
    cells = frame.astype(object)
    rows: list[dict[str, Any]] = cells.where(frame.notna(), None).to_dict("records")
    return rows


def _write_lines(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    with file.open("w", encoding="ascii") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
