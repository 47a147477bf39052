"""The writing side of a record's file: new records that appear whole, connections with or without a
write-ahead log."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from workbench.runs.environment import describe_environment
from workbench.runs.store.cells import SEALED_FROM
from workbench.runs.store.files import (
    BUSY_SECONDS,
    RunRecordError,
    RunWarning,
    as_record_errors,
    is_run_record,
    uri,
)
from workbench.runs.store.rows import put_meta
from workbench.runs.store.schema import FORMAT_VERSION, statements

BEGINNING: dict[str, Any] = {
    "finished": None,
    "status": "running",
    "reason": "",
    "revision": 0,
    "writer": None,
    "journal_mode": "wal",
    # Whatever is written from here on has its checksum.
    SEALED_FROM: 0,
    "newest_checkpoint": None,
}
"""The facts of a run that change while it goes on, as they are at first."""


def connect_for_writing(file: Path) -> tuple[sqlite3.Connection, str]:
    """A connection to an existing record that any thread may use, one at a time, and its journal
    mode.

    Each commit is on the disk when it returns (synchronous=FULL). That costs a flush per step, a
    fraction of a millisecond on an SSD, and makes the record survive a power cut, so that it never
    falls behind a checkpoint of the same run. Where the file system refuses a write-ahead log, a
    rollback journal takes its place, with a `RunWarning`.
    """
    refusal = wal_refusal(file)
    # Transactions begin where the writer says so, and its own lock lets one thread in at a time.
    db = sqlite3.connect(
        uri(file, "mode=rw"),
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    if refusal:
        _use_rollback_journal(db)
        warnings.warn(
            f"{file.parent}: this file system cannot carry SQLite's write-ahead log ({refusal}). "
            "The record is kept with a rollback journal: as safe, but readers and the writer wait "
            "for each other. Better: a local folder.",
            RunWarning,
            stacklevel=4,
        )
    else:
        db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db, "delete" if refusal else "wal"


def wal_refusal(file: Path) -> str | None:
    """Why a write-ahead log cannot be kept beside `file`, or None when it can: tried on a scratch
    file."""
    scratch = file.with_name(f".{file.name}.probe")
    remove_database(scratch)
    try:
        with closing(
            sqlite3.connect(uri(scratch, "mode=rwc"), uri=True, isolation_level=None)
        ) as db:
            # The file is thrown away, so nothing of it has to reach the disk.
            db.execute("PRAGMA synchronous = OFF")
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            # The mode alone proves nothing: it is a write that needs the log.
            db.execute("CREATE TABLE probe (x)")
        return None if mode == "wal" else f"SQLite stays in journal mode {mode!r}"
    except sqlite3.Error as error:
        return str(error)
    finally:
        remove_database(scratch)


@contextmanager
def new_record(file: Path, facts: dict[str, Any]) -> Iterator[sqlite3.Connection]:
    """A record with the meta `facts`, to be filled in the block. Afterwards it stands at `file`,
    whole, or not at all.

    Raises `RunRecordError` when something is there already or the folder cannot be made.
    """
    stamps = {
        "format_version": FORMAT_VERSION,
        "environment": describe_environment(),
        "started": time.time(),
    }
    with _draft(file) as db:
        db.execute("BEGIN")
        for statement in statements():
            db.execute(statement)
        put_meta(db, **(BEGINNING | stamps | facts))
        yield db
        db.execute("COMMIT")


def copy_record(source: sqlite3.Connection, file: Path) -> None:
    """A copy at `file` of the record that `source` is connected to, whole, or nothing. Raises
    `RunRecordError` when something is there already."""
    with _draft(file) as db:
        source.backup(db)
        put_meta(db, writer=None)


@contextmanager
def _draft(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an empty database beside `file`, which gets its name after the block."""
    check_free(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRecordError(
            f"the folder {file.parent} cannot be made ({error.strerror}). Name another one."
        ) from error
    draft = file.with_name(f".{file.name}.new")
    with as_record_errors(file):
        # Of a run that was killed here; a log without its file would spoil the new record.
        for leftover in (file, draft):
            remove_database(leftover)
        try:
            with closing(
                sqlite3.connect(uri(draft, "mode=rwc"), uri=True, isolation_level=None)
            ) as db:
                yield db
            # Only a whole record gets the name that readers look for.
            os.replace(draft, file)
        finally:
            remove_database(draft)


def remove_database(file: Path) -> None:
    """Delete an SQLite file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def check_free(file: Path) -> None:
    """Raises `RunRecordError` when something is there already."""
    if is_run_record(file):
        raise RunRecordError(
            f"{file} holds a run already. Resume it with RunWriter.resume(path, step), or choose "
            "another path."
        )
    if file.exists() and (not file.is_file() or file.stat().st_size > 0):
        raise RunRecordError(f"{file} exists and is not a run record. Choose another path.")


def _use_rollback_journal(db: sqlite3.Connection) -> None:
    """Leaves WAL mode, too, on a record that was copied here: an exclusive lock reads the log
    without shared memory."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA locking_mode = NORMAL")
