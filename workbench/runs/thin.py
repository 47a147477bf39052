"""A small copy of a record to hand on: every step keeps its figures, some steps keep their
completions and tokens.

Texts and per-token arrays are nearly all of a record's size; curves, knobs, evaluations and events
are small. A thinned record opens like any other and says in an event what was left out.

What the record itself notes of the machine goes: of the environment only `ENVIRONMENT` stays, a
policy or task that was a path keeps its last part, and tracebacks, which name folders, are dropped.
Texts of the run stay as they are: a completion, an event, the reason of a failure may still quote
what somebody would rather not hand on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.runs.step_record import Event
from workbench.runs.store.cells import SEALED_FROM
from workbench.runs.store.checked import facts_of
from workbench.runs.store.checksums import copy_seals, has_table, seal
from workbench.runs.store.files import (
    DamagedError,
    RunRecordError,
    as_record_errors,
    read,
    record_path,
    uri,
)
from workbench.runs.store.opening import new_record
from workbench.runs.store.queries import HEAVY
from workbench.runs.store.reader import Run
from workbench.runs.store.rows import copy_rows, last_step, put_event, put_meta
from workbench.runs.store.schema import ALL_STEP_TABLES, to_json

ENVIRONMENT = (
    "packages",
    "python",
    "cpu",
    "cpu_count",
    "gpus",
    "threads",
    "rollout_engine",
    "shared_prompts",
    "shared_decoding",
    "attention_apart",
    "opened_answer",
)
"""Facts of the environment that stay: they bear on the figures and name no machine."""


def thin(path: str | Path, out: str | Path, keep_steps: Collection[int]) -> Path:
    """Write the record at `path` into the file `out`, with completions and tokens of `keep_steps`
    only; returns `out`.

    `path` is a run's folder or file and is not touched. Id, name and branch point stay, so that a
    branch still knows its parent; a run that is still going on reads as interrupted in the copy.
    Raises `RunRecordError` when `out` holds something already, or when one of `keep_steps` is not
    in the record.
    """
    origin = record_path(path)
    file = record_path(out)
    kept = sorted({int(step) for step in keep_steps})
    if found := Run.open(origin).damage():
        raise DamagedError(f"{origin} {found[0]}")
    facts, last = read(origin, lambda db: (facts_of(db), last_step(db)))
    if outside := [step for step in kept if not 1 <= step <= last]:
        raise RunRecordError(
            f"{origin} holds steps 1 to {last}: it has no step {outside[0]} to keep. Leave it "
            "out of keep_steps."
        )
    with new_record(file, {}) as db:
        # A record of before there were checksums is copied without.
        put_meta(db, **{SEALED_FROM: last + 1} | _handed_on(facts))
        read(origin, lambda source: _copy(source, db, kept))
        _forget_tracebacks(db)
        put_event(db, 0, Event("notice", _words(kept, last), {"kept_steps": kept}))
    with (
        as_record_errors(file),
        closing(sqlite3.connect(uri(file, "mode=rw"), uri=True, isolation_level=None)) as db,
    ):
        db.execute("VACUUM")
    return file


def spread_steps(last: int, every: int, ends: int = 1) -> list[int]:
    """Steps of 1 to `last` that are worth keeping: every `every`-th, the first `ends` and the last
    `ends`."""
    return [
        step
        for step in range(1, last + 1)
        if step <= ends or step > last - ends or step % every == 0
    ]


def _handed_on(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of the run without what names the machine."""
    environment = {
        name: facts["environment"][name] for name in ENVIRONMENT if name in facts["environment"]
    }
    named = {
        key: Path(facts[key]).name if Path(facts[key]).is_absolute() else facts[key]
        for key in ("policy", "task")
    }
    return facts | named | {"environment": environment, "writer": None, "journal_mode": "wal"}


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, kept: list[int]) -> None:
    """Every table, of the heavy ones the kept steps."""
    for table in (*ALL_STEP_TABLES, "vocab"):
        if not has_table(source, table):
            continue
        condition = " WHERE step IN (SELECT value FROM json_each(?))" if table in HEAVY else ""
        found = source.execute(
            f"SELECT * FROM {table}{condition} ORDER BY rowid",
            (json.dumps(kept),) if condition else (),
        )
        copy_rows(found, target, table)
        copy_seals(source, target, table, kept if table in HEAVY else None)


def _forget_tracebacks(db: sqlite3.Connection) -> None:
    for rowid, step, cell in db.execute("SELECT rowid, step, data FROM events").fetchall():
        data = json.loads(cell)
        if data.pop("traceback", None) is not None:
            db.execute(
                "UPDATE events SET data = ? WHERE rowid = ?", (to_json(data, "event.data"), rowid)
            )
            seal(db, "events", step)


def _words(kept: list[int], last: int) -> str:
    steps = f"step{'s' * (len(kept) != 1)} {', '.join(map(str, kept))}" if kept else "no step"
    return (
        f"thinned: all {last} steps keep their figures; the completions and tokens of "
        f"{steps} were kept."
    )
