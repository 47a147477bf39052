"""Opening the SQLite file of a record for reading: paths, checks, errors, and no trace left behind.

Reading never writes. A record that nobody writes to is opened `immutable`, because SQLite would
otherwise make `-wal` and `-shm` files beside it and fail on a read-only folder; any other is opened
read-only, with SQLite's locks. The only exception: a rollback journal left by a killed writer
(where WAL was refused) is rolled back by the next who opens it.

The file is never opened but through SQLite: closing any other handle would drop this process's
locks on it, those of a trainer that is writing in another thread included
(sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from workbench.errors import WorkbenchError
from workbench.runs.store.schema import APPLICATION_ID, FORMAT_VERSION, RUN_FILE, foreign_table

T = TypeVar("T")
BUSY_SECONDS = 30.0
IMMUTABLE = "mode=ro&immutable=1"


class RunRecordError(WorkbenchError):
    """A run record that cannot be read or written as asked: says which, why, and what to do."""


class RunNotFoundError(RunRecordError, FileNotFoundError):
    """There is no record at that path."""


class NotARunRecordError(RunRecordError):
    """The file is something else."""


class DamagedError(RunRecordError):
    """What the record holds there is not what was written, or nothing that the workbench writes."""


class NewerFormatError(RunRecordError):
    """The record was written by a later version of the workbench."""


class RunWarning(UserWarning):
    """A record that works, but not as well as it could."""


def record_path(path: str | Path) -> Path:
    """The record's file: `path` itself when it is a file or ends in .sqlite, else `run.sqlite` in
    the folder `path`; absolute, since readers and writers outlive the working directory."""
    path = Path(path).absolute()
    return path if path.is_file() or path.suffix == ".sqlite" else path / RUN_FILE


def is_run_record(path: str | Path) -> bool:
    """True when `path` (a folder or file) holds a run record, of whatever version.

    Raises `RunRecordError` when the file may not be read.
    """
    file = record_path(path)
    try:
        return file.is_file() and file.stat().st_size > 0 and _answer(file, _identified) is not None
    except NotARunRecordError:
        return False
    except (NewerFormatError, DamagedError):
        return True


def read(file: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    """The answer of `query` to one consistent state of the record. Raises `RunRecordError`."""
    if not file.exists():
        raise RunNotFoundError(
            f"{file}: no run record there. Give a run's folder or its .sqlite file."
        )
    if not file.is_file():
        raise RunRecordError(f"{file} is not a file. Give a run's folder or its .sqlite file.")
    if file.stat().st_size == 0:
        raise RunRecordError(f"{file} is empty: there is no run in it. Delete it.")
    return _answer(file, lambda db: query(_identified(db)))


def uri(file: Path, options: str) -> str:
    """The file as SQLite's URI; every odd character of the path is quoted."""
    return f"{file.absolute().as_uri()}?{options}"


@contextmanager
def as_record_errors(file: Path) -> Iterator[None]:
    """Turns errors of SQLite, of the disk, and of damaged cells into a `RunRecordError` that names
    the file."""
    try:
        yield
    except (NotARunRecordError, NewerFormatError, DamagedError) as error:
        # Once: a record may be read while another one is being written.
        said = str(error)
        raise type(error)(said if said.startswith(str(file)) else f"{file} {said}") from None
    except (sqlite3.Error, zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise NotARunRecordError(
                f"{file} is not a run record: it is not an SQLite file."
            ) from error
        raise RunRecordError(f"{file} {_complaint(file, error)}") from error
    except RunRecordError:  # one of them is an OSError
        raise
    except OSError as error:
        place = f": {error.filename}" if error.filename is not None else ""
        raise RunRecordError(f"{file} cannot be used: {error.strerror}{place}") from error


def _complaint(file: Path, error: Exception) -> str:
    if (
        not isinstance(error, sqlite3.Error)
        or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CORRUPT
    ):
        return (
            f"is damaged: {error}. Go back to a copy of it, or save what is left with "
            "`sqlite3 FILE .recover`."
        )
    hint = (
        " Its -wal file belongs to it: keep both together, in a folder where you may write."
        if _beside(file, "-wal").exists()
        else ""
    )
    return f"cannot be used: {error}.{hint}"


def _answer(file: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    quiet = _quiet_state(file)
    if quiet is not None:
        try:
            answer, kept_in_wal = _connected(
                file, IMMUTABLE, lambda db: (query(db), _is_kept_in_wal(db))
            )
            if kept_in_wal and _quiet_state(file) == quiet:
                return answer
        except RunRecordError:
            if _quiet_state(file) == quiet:
                raise
    return _connected(file, "mode=rw" if _beside(file, "-journal").exists() else "mode=ro", query)


def _connected(file: Path, options: str, query: Callable[[sqlite3.Connection], T]) -> T:
    with (
        as_record_errors(file),
        closing(
            sqlite3.connect(
                uri(file, options), uri=True, timeout=BUSY_SECONDS, isolation_level=None
            )
        ) as db,
    ):
        db.text_factory = _text
        # What a file of others brings along is no reason to run its functions, and its pages are
        # looked at before they are believed.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        db.execute("BEGIN")
        return query(db)


def _text(raw: bytes) -> str | bytes:
    """A cell of text; bytes where it is none: one such cell must not hide all the others."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _identified(db: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, when it is one to a record that this version reads."""
    if _pragma(db, "application_id") != APPLICATION_ID:
        raise NotARunRecordError(
            "is not a run record of the workbench, but another program's SQLite file."
        )
    if (version := _pragma(db, "user_version")) > FORMAT_VERSION:
        raise NewerFormatError(
            f"has format version {version}; this workbench reads up to {FORMAT_VERSION}. Update "
            "grpo-workbench."
        )
    objects = db.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL")
    kinds = {str(name): (str(kind), str(sql)) for name, kind, sql in objects}
    if (table := foreign_table(kinds)) is not None:
        raise DamagedError(
            f"is damaged: its table {table} is not one that the workbench made. Go back to a copy "
            "of it."
        )
    return db


def _quiet_state(file: Path) -> tuple[int, int] | None:
    """(time, size) of a record beside which no log or journal stands; None while there is one."""
    log = _beside(file, "-wal")
    journal = _beside(file, "-journal")
    if journal.exists() or (log.exists() and log.stat().st_size > 0):
        return None
    return file.stat().st_mtime_ns, file.stat().st_size


def _is_kept_in_wal(db: sqlite3.Connection) -> bool:
    """Then no log means no writer. A record with a rollback journal may be written to at any time:
    it needs locks."""
    found = db.execute("SELECT value FROM meta WHERE key = 'journal_mode'").fetchone()
    return found is not None and found[0] == '"wal"'


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
