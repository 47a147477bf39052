"""A checksum for the rows that a step has in each table, stored beside them.

It is taken from what SQLite gives back, in the transaction that wrote the rows, and again at each
reading: a bit that flipped on the disk, a row that went or came, is noticed. It is no signature:
who can write the file can write the checksum too. A record of before there were checksums is read
without; one that such a record is continued by has them from the step on where it goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from workbench.runs.store.cells import SEALED_FROM
from workbench.runs.store.schema import ALL_STEP_TABLES, LATER_STEP_TABLES, statement

ALL = 2**62
"""No step is later."""

WHOLE_RUN = 0
"""The key of what belongs to no step."""


def digest_of(rows: Iterable[Sequence[Any]]) -> str:
    """The checksum of rows as SQLite gives them, in their order."""
    hasher = blake2b(digest_size=8)
    for row in rows:
        # Bytes by their own digest: written out they would be four times as long.
        cells = [
            blake2b(cell, digest_size=16).digest() if type(cell) is bytes else cell for cell in row
        ]
        # ASCII: how a character is written does not hang on Python's version.
        hasher.update(ascii(cells).encode())
    return hasher.hexdigest()


def has_checksums(db: sqlite3.Connection) -> bool:
    """False for a record of before there were any."""
    return has_table(db, "checksums")


def has_table(db: sqlite3.Connection, table: str) -> bool:
    """False for a table that the record is too old to have."""
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return found is not None


def make_later_tables(db: sqlite3.Connection) -> None:
    """Give a record of an earlier version the tables of steps that it lacks."""
    for table in LATER_STEP_TABLES:
        if not has_table(db, table):
            db.execute(statement(table))


def start_checksums(db: sqlite3.Connection, step: int) -> None:
    """In a record of before there were any: from `step` on there are checksums."""
    if not has_checksums(db):
        db.execute(statement("checksums"))
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SEALED_FROM, str(step)))


def seal(db: sqlite3.Connection, table: str, step: int) -> None:
    """Take the checksum of the rows that `table` has for `step`."""
    found = db.execute(f"SELECT * FROM {table} WHERE step = ? ORDER BY rowid", (step,))
    _put(db, [(table, step, digest_of(found))])


def unseal(db: sqlite3.Connection, table: str, step: int) -> None:
    """Forget the checksum of the rows that `table` had for `step`."""
    db.execute("DELETE FROM checksums WHERE name = ? AND key = ?", (table, step))


def seal_meta(db: sqlite3.Connection) -> None:
    """Take the checksum of the facts of the run."""
    _put(db, [("meta", WHOLE_RUN, digest_of(meta_cells(db)))])


def seal_pieces(db: sqlite3.Connection, pieces: Iterable[tuple[int, str | bytes]]) -> None:
    """Take the checksum of each token's text. Each has its own: a view reads some hundred of fifty
    thousand."""
    _put(db, [("vocab", row[0], digest_of([row])) for row in pieces])


def meta_cells(db: sqlite3.Connection) -> list[tuple[Any, Any]]:
    """Key and cell of every fact of the run."""
    return db.execute("SELECT key, value FROM meta ORDER BY key").fetchall()


def seals_of(db: sqlite3.Connection, table: str, low: int = 0, high: int = ALL) -> dict[int, str]:
    """The checksums that a table has for those steps."""
    found = db.execute(
        "SELECT key, digest FROM checksums WHERE name = ? AND key BETWEEN ? AND ?",
        (table, low, high),
    )
    return dict(found.fetchall())


def mark_of_step(db: sqlite3.Connection, step: int) -> str | None:
    """The checksum of a step's figures and time, which no other making of that step has; None for
    step 0, and in a record of before there were checksums."""
    return seals_of(db, "steps", step, step).get(step) if has_checksums(db) else None


def last_sealed_step(db: sqlite3.Connection) -> int | None:
    """The last step that has a checksum; None where none has."""
    if not has_checksums(db):
        return None
    found = db.execute("SELECT max(key) FROM checksums WHERE name = 'steps'").fetchone()[0]
    return found if type(found) is int else None


def cut_seals_after(db: sqlite3.Connection, step: int) -> None:
    """Forget the checksums of later steps."""
    tables = ", ".join(f"'{table}'" for table in ALL_STEP_TABLES)
    db.execute(f"DELETE FROM checksums WHERE name IN ({tables}) AND key > ?", (step,))


def copy_seals(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, steps: Iterable[int] | None
) -> None:
    """Copy the checksums of a table: those of `steps`, or all."""
    if not has_checksums(source):
        return
    found = source.execute("SELECT name, key, digest FROM checksums WHERE name = ?", (table,))
    wanted = None if steps is None else set(steps)
    _put(target, [row for row in found if wanted is None or row[1] in wanted])


def _put(db: sqlite3.Connection, rows: list[tuple[str, int, str]]) -> None:
    db.executemany("INSERT OR REPLACE INTO checksums VALUES (?, ?, ?)", rows)
