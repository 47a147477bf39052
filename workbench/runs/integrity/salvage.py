"""A new record of all that is whole in a damaged one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from workbench.runs.step_record import Event
from workbench.runs.store import queries
from workbench.runs.store.cells import SEALED_FROM
from workbench.runs.store.checked import checked, facts_of, words
from workbench.runs.store.checksums import copy_seals, has_checksums, has_table, seal, seals_of
from workbench.runs.store.files import RunRecordError, read
from workbench.runs.store.opening import new_record
from workbench.runs.store.rows import copy_rows, last_step, put_event, put_meta
from workbench.runs.store.schema import ALL_STEP_TABLES

LIGHT = tuple(table for table in ALL_STEP_TABLES if table not in ("steps", *queries.HEAVY))
"""Tables whose rows of a step stand by themselves."""


@dataclass
class Salvaged:
    """What came over."""

    last: int
    """The last step of the new record."""

    without_figures: set[int] = field(default_factory=set)
    """Steps that kept their place alone."""

    left_out: list[str] = field(default_factory=list)
    """What did not come over, a sentence each."""


def salvage(file: Path, out: Path, checkpoints: Sequence[int]) -> Salvaged:
    """Write the record `out` with what is whole of the one in `file`; `checkpoints`: the steps of
    those that are whole, one of which the new record will name as its newest.

    Raises `RunRecordError` where the facts of the run are damaged, or the file is no database any
    more.
    """
    try:
        return read(file, lambda db: _salvaged(db, out, checkpoints))
    except RunRecordError as error:
        if not _is_damage(error.__cause__):
            raise
        # What reads and writes at once would name the new file.
        raise RunRecordError(
            f"{file} is damaged beyond what can be saved table by table ({error.__cause__}). Go "
            "back to a copy of it, or try `sqlite3 FILE .recover`."
        ) from error


def _is_damage(error: BaseException | None) -> bool:
    """Whether it is the database that is wrong, not the disk that is full."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _only_damage(error: Exception) -> None:
    """Raises every other error again."""
    if isinstance(error, sqlite3.Error) and not _is_damage(error):
        raise error


def _salvaged(db: sqlite3.Connection, out: Path, checkpoints: Sequence[int]) -> Salvaged:
    facts = facts_of(db)
    kept = Salvaged(_last_with_known_settings(db))
    if kept.last < (last := last_step(db)):
        kept.left_out.append(
            f"the steps from {kept.last + 1} to {last}: which settings were in force is not known."
        )
    # A record of before there were checksums hands on steps without.
    sealed_from = min(facts.get(SEALED_FROM, kept.last + 1), kept.last + 1)
    own = {"writer": None, "revision": facts["revision"] + 1, SEALED_FROM: sealed_from}
    with new_record(out, facts | own) as new:
        _copy_figures(db, new, kept)
        for table in LIGHT:
            for step in _steps_of(db, table):
                if step <= kept.last:
                    _copy_whole(db, new, (table,), step, kept, partial(_look, db, table, step))
        for step in sorted({s for table in queries.HEAVY for s in _steps_of(db, table)}):
            if step <= kept.last:
                _copy_batch(db, new, step, kept)
        _copy_vocabulary(db, new, kept)
        left = [s for s in checkpoints if s <= kept.last and s not in kept.without_figures]
        put_meta(new, newest_checkpoint=max(left, default=None))
        put_event(new, kept.last, Event("repair", _summary(kept), {"left_out": kept.left_out}))
    return kept


def _last_with_known_settings(db: sqlite3.Connection) -> int:
    """The last step before a change of the settings that is not known any more."""
    try:
        lost = checked(db, "knobs").damaged
    except sqlite3.DatabaseError as error:
        raise RunRecordError(
            f"has a table knobs that cannot be read ({error}): which settings were in force is not "
            "known. Go back to a copy of it."
        ) from error
    return min([last_step(db), *(max(step - 1, 0) for step in lost)])


def _copy_figures(db: sqlite3.Connection, new: sqlite3.Connection, kept: Salvaged) -> None:
    """The table `steps`; a damaged one keeps its place, since steps are numbered without a gap."""
    when = facts_of(db)["started"]
    for step in range(1, kept.last + 1):
        try:
            found = checked(db, "steps", step, step)
            if found.rows:
                when = found.rows[0][1]
                _copy(db, new, "steps", step)
                continue
        except sqlite3.DatabaseError as error:
            _only_damage(error)
            new.execute("DELETE FROM steps WHERE step = ?", (step,))
        kept.without_figures.add(step)
        kept.left_out.append(f"the figures of step {step}.")
        new.execute("INSERT INTO steps VALUES (?, ?, '{}')", (step, when))
        seal(new, "steps", step)


def _copy_batch(db: sqlite3.Connection, new: sqlite3.Connection, step: int, kept: Salvaged) -> None:
    """Completions and tokens of a step; tokens alone would have no rows to belong to."""
    if _copy_whole(db, new, ("groups", "samples"), step, kept, lambda: queries.samples(db, step)):
        _copy_whole(db, new, ("arrays",), step, kept, lambda: _whole_arrays(db, step, kept))


def _whole_arrays(db: sqlite3.Connection, step: int, kept: Salvaged) -> None:
    _look(db, "arrays", step)
    # Of a step whose figures are lost no more can be asked than its checksum.
    if step not in kept.without_figures:
        queries.arrays(db, step)


def _look(db: sqlite3.Connection, table: str, step: int) -> None:
    """Raises `RunRecordError` where the rows of a step are not whole."""
    for reason in checked(db, table, step, step).damaged.values():
        raise RunRecordError(words(table, step, reason))


def _copy_whole(
    db: sqlite3.Connection,
    new: sqlite3.Connection,
    tables: Iterable[str],
    step: int,
    kept: Salvaged,
    look: Callable[[], object],
) -> bool:
    """Copy the rows of a step unless a look at them fails; whether they were copied."""
    tables = tuple(tables)
    try:
        look()
        for table in tables:
            _copy(db, new, table, step)
    except (RunRecordError, sqlite3.DatabaseError) as error:
        _only_damage(error)
        for table in tables:
            new.execute(f"DELETE FROM {table} WHERE step = ?", (step,))
            new.execute("DELETE FROM checksums WHERE name = ? AND key = ?", (table, step))
        kept.left_out.append(f"the {' and '.join(tables)} of step {step}.")
        return False
    return True


def _copy(db: sqlite3.Connection, new: sqlite3.Connection, table: str, step: int) -> None:
    copy_rows(
        db.execute(f"SELECT * FROM {table} WHERE step = ? ORDER BY rowid", (step,)), new, table
    )
    copy_seals(db, new, table, [step])


def _steps_of(db: sqlite3.Connection, table: str) -> list[int]:
    """The steps that have rows in a table, or had."""
    if not has_table(db, table):
        return []
    try:
        found = {step for (step,) in db.execute(f"SELECT DISTINCT step FROM {table}")}
    except sqlite3.DatabaseError as error:
        _only_damage(error)
        return list(range(last_step(db) + 1))
    if has_checksums(db):
        found |= seals_of(db, table).keys()
    return sorted(step for step in found if type(step) is int and step >= 0)


def _copy_vocabulary(db: sqlite3.Connection, new: sqlite3.Connection, kept: Salvaged) -> None:
    """The texts of the tokens that are whole."""
    try:
        known, lost = queries.vocab(db)
        cells = db.execute("SELECT id, piece FROM vocab").fetchall()
    except sqlite3.DatabaseError as error:
        _only_damage(error)
        kept.left_out.append("the texts of the tokens.")
        return
    new.executemany("INSERT INTO vocab VALUES (?, ?)", (row for row in cells if row[0] in known))
    copy_seals(db, new, "vocab", known)
    if lost:
        kept.left_out.append(f"the texts of {len(lost)} tokens, the first {lost[0]}.")


def _summary(kept: Salvaged) -> str:
    return f"repaired: {len(kept.left_out)} things that were damaged were left out"
