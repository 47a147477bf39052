"""The runs in a folder, one row each: what `workbench runs` shows."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.store import queries
from workbench.runs.store.files import RunNotFoundError, RunRecordError, is_run_record, read
from workbench.runs.store.rows import last_step
from workbench.runs.store.schema import RUN_FILE, number

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "path",
    "id",
    "name",
    "status",
    "steps",
    "reward_first",
    "reward_last",
    "accuracy_first",
    "accuracy_last",
    "started",
    "seconds",
    "policy",
    "task",
    "parent_id",
    "problem",
)

ACCURACIES = """SELECT accuracy FROM evaluations
    WHERE split = (SELECT split FROM evaluations ORDER BY step, rowid LIMIT 1) ORDER BY step"""


def list_runs(folder: str | Path, *, reward_metric: str = "reward") -> pd.DataFrame:
    """Every run record below `folder`, the oldest first, with the columns of `COLUMNS`.

    reward_*    `reward_metric` at the first and the last step
    accuracy_*  the first and the last evaluation of the split that was evaluated first
    started     UTC; `seconds` run from there to the end or the last step, interruptions included
    problem     why a record could not be read (its status is then 'unreadable'), else ''

    Raises `RunNotFoundError` when `folder` is not there.
    """
    import pandas as pd

    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise RunNotFoundError(f"{folder} is not a folder. Give the folder that holds the runs.")
    rows = [
        row
        for file in sorted(folder.rglob("*.sqlite"))
        if (row := _row(file, reward_metric)) is not None
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["started"] = pd.to_datetime(frame["started"].astype(float), unit="s", utc=True)
    return frame.sort_values("started", kind="stable", ignore_index=True)


def _row(file: Path, reward_metric: str) -> dict[str, Any] | None:
    """The row of one file; None for an SQLite file that is no run record and is not named like
    one."""
    try:
        if file.name != RUN_FILE and not is_run_record(file):
            return None
        return {
            "path": str(file),
            "problem": "",
            **read(file, lambda db: _facts(db, reward_metric)),
        }
    except RunRecordError as error:
        return {"path": str(file), "status": "unreadable", "problem": str(error)}


def _facts(db: sqlite3.Connection, reward_metric: str) -> dict[str, Any]:
    meta = queries.meta(db)
    rewards = [
        _metric(db, f"SELECT {end}(step) FROM steps", reward_metric) for end in ("min", "max")
    ]
    accuracies = [number(row[0], "accuracy") for row in db.execute(ACCURACIES)] or [math.nan]
    return {
        "id": meta.id,
        "name": meta.name,
        "status": meta.status,
        "steps": last_step(db),
        "reward_first": rewards[0],
        "reward_last": rewards[1],
        "accuracy_first": accuracies[0],
        "accuracy_last": accuracies[-1]
        if len(accuracies) > 1
        else math.nan,  # one evaluation is the one before training
        "started": meta.started,
        "seconds": (meta.finished or meta.last_write) - meta.started,
        "policy": meta.policy,
        "task": meta.task,
        "parent_id": meta.parent_id,
    }


def _metric(db: sqlite3.Connection, which_step: str, name: str) -> float:
    found = db.execute(f"SELECT metrics FROM steps WHERE step = ({which_step})").fetchone()
    return math.nan if found is None else number(json.loads(found[0]).get(name), name)
