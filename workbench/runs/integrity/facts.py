"""A record whose facts (policy, task, settings) are damaged, with those that a checkpoint keeps a
copy of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.runs.checkpoint_folders import FACTS, CheckpointError, state_of
from workbench.runs.store import cells
from workbench.runs.store.cells import CellError
from workbench.runs.store.checksums import meta_cells
from workbench.runs.store.files import as_record_errors, read, uri
from workbench.runs.store.opening import BEGINNING, copy_record
from workbench.runs.store.rows import put_meta


def kept_facts(root: Path, whole: Iterable[int]) -> dict[str, Any] | None:
    """The facts of the run as the newest of the `whole` checkpoints below `root` has them; None
    where none has, as those of earlier versions."""
    for step in sorted(whole, reverse=True):
        try:
            found = state_of(root, step).get(FACTS)
        except CheckpointError:
            continue
        if isinstance(found, dict):
            return found
    return None


def with_facts(file: Path, out: Path, facts: dict[str, Any]) -> Path:
    """Write a copy of the record in `file` to `out` that has these facts; returns `out`.

    Those that change while a run goes on are the record's own where they can be read, else as at
    the beginning. Raises `RunRecordError` where the file cannot be copied.
    """
    read(file, lambda db: copy_record(db, out))
    with (
        as_record_errors(out),
        closing(sqlite3.connect(uri(out, "mode=rw"), uri=True, isolation_level=None)) as db,
    ):
        own = {key: cell for key, cell in meta_cells(db) if isinstance(key, str)}
        lost = {key: first for key, first in BEGINNING.items() if not _reads(key, own.get(key))}
        db.execute("BEGIN")
        put_meta(db, **(facts | lost))
        db.execute("COMMIT")
    return out


def _reads(key: str, cell: Any) -> bool:
    try:
        (cells.FACTS | cells.LATER_FACTS)[key](cell)
    except CellError:
        return False
    return True
