"""Reading a table of a record so that nothing false comes out: each step's rows are held against
their checksum, each cell against its column. What does not pass is named, and the rest is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.runs.store.cells import (
    FACTS,
    LATER_FACTS,
    SEALED_FROM,
    SHAPES,
    CellError,
    json_value,
    step_number,
    text,
)
from workbench.runs.store.checksums import (
    ALL,
    WHOLE_RUN,
    digest_of,
    has_checksums,
    has_table,
    meta_cells,
    seals_of,
)
from workbench.runs.store.files import DamagedError
from workbench.runs.store.schema import LATER_STEP_TABLES

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Checked:
    """What a table holds for some steps."""

    rows: list[Row]
    """The values of the rows that passed, in the order of the steps."""

    damaged: dict[int, str]
    """Step to what is wrong with its rows, none of which is among `rows`."""


def checked(db: sqlite3.Connection, table: str, low: int = 0, high: int = ALL) -> Checked:
    """The rows of a table for the steps from `low` to `high`, and the steps that are damaged."""
    by_step: dict[Any, list[Row]] = {}
    columns = ", ".join(SHAPES[table])
    # Without a condition where all are wanted: a cell that is no number would slip through it.
    condition = "" if (low, high) == (0, ALL) else "WHERE step BETWEEN ? AND ?"
    found: Iterable[Row] = ()
    if table not in LATER_STEP_TABLES or has_table(db, table):
        found = db.execute(
            f"SELECT {columns} FROM {table} {condition} ORDER BY step, rowid",
            (low, high) if condition else (),
        )
    for row in found:
        by_step.setdefault(row[0], []).append(row)
    seals = _Seals.of(db, table, low, high)
    rows: list[Row] = []
    damaged = dict.fromkeys(seals.digests.keys() - by_step.keys(), "it is missing")
    for step, cells in by_step.items():
        try:
            if not low <= step_number(step) <= high:
                raise CellError(f"an index leads to step {step}")
            seals.check(step, cells)
            rows += [_values(table, row) for row in cells]
        except CellError as error:
            damaged[step if type(step) is int else 0] = str(error)
    return Checked(rows, dict(sorted(damaged.items())))


def whole_step(db: sqlite3.Connection, table: str, step: int) -> list[Row]:
    """The rows of one step. Raises `DamagedError`."""
    found = checked(db, table, step, step)
    for reason in found.damaged.values():
        raise DamagedError(words(table, step, reason))
    return found.rows


def words(table: str, step: int, reason: str) -> str:
    """What is wrong with the rows of a step, as a sentence about the record."""
    return (
        f"is damaged at step {step}, in the table {table}: {reason}. Other steps can be read; a "
        "copy of the record may have this one."
    )


def facts_of(db: sqlite3.Connection) -> dict[str, Any]:
    """Every fact of the run. Raises `DamagedError`."""
    cells = meta_cells(db)
    keys = [key for key, _ in cells]
    seal = seals_of(db, "meta", WHOLE_RUN, WHOLE_RUN) if has_checksums(db) else {}
    if seal and seal.get(WHOLE_RUN) != digest_of(cells):
        raise DamagedError(_of_the_run("they are not those of their checksum"))
    if not seal and SEALED_FROM in keys:
        raise DamagedError(_of_the_run("their checksum is missing"))
    if lacking := FACTS.keys() - set(keys):
        raise DamagedError(_of_the_run(f"{', '.join(sorted(lacking))} is missing"))
    return {key: _fact(key, cell) for key, cell in cells}


def fact_of(db: sqlite3.Connection, key: str) -> Any:
    """One fact of the run, without a look at the others. Raises `DamagedError`."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None:
        raise DamagedError(_of_the_run(f"{key} is missing"))
    return _fact(key, found[0])


def pieces_of(cells: list[tuple[Any, Any, str | None]]) -> tuple[dict[int, str], list[int]]:
    """Token id to text, of (id, cell, checksum or None); and the ids whose text is damaged."""
    known: dict[int, str] = {}
    damaged: list[int] = []
    for token, cell, seal in cells:
        try:
            if seal is not None and seal != digest_of([(token, cell)]):
                raise CellError("is not that of its checksum")
            known[token] = text(cell)
        except CellError:
            damaged.append(token)
    return known, damaged


@dataclass(frozen=True)
class _Seals:
    """The checksums of a table for some steps."""

    since: float
    """The first step that must have one; infinite where none must."""

    digests: dict[int, str]

    @classmethod
    def of(cls, db: sqlite3.Connection, table: str, low: int, high: int) -> _Seals:
        stored = db.execute("SELECT value FROM meta WHERE key = ?", (SEALED_FROM,)).fetchone()
        if not has_checksums(db):
            if stored is not None:
                raise DamagedError("is damaged: its table of checksums is missing.")
            return cls(float("inf"), {})
        since = float("inf") if stored is None else _fact(SEALED_FROM, stored[0])
        return cls(since, seals_of(db, table, low, high))

    def check(self, step: int, cells: list[Row]) -> None:
        """Raises `CellError` when the rows are not those of the step's checksum."""
        seal = self.digests.get(step)
        if seal is None and step >= self.since:
            raise CellError("its checksum is missing")
        if seal is not None and seal != digest_of(cells):
            raise CellError("it is not what its checksum says")


def _values(table: str, cells: Row) -> Row:
    shape = SHAPES[table]
    values = []
    for (column, check), cell in zip(shape.items(), cells, strict=True):
        try:
            values.append(check(cell))
        except CellError as error:
            raise CellError(f"its {column} {error}") from error
    return tuple(values)


def _fact(key: str, cell: Any) -> Any:
    check = (FACTS | LATER_FACTS).get(key, json_value)
    try:
        return check(cell)
    except CellError as error:
        raise DamagedError(_of_the_run(f"{key!r:.40} {error}")) from error


def _of_the_run(reason: str) -> str:
    return f"is damaged, in the facts of the run: {reason}. Go back to a copy of it."
