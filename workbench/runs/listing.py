"""The runs in a folder, one row each: what `workbench runs` shows."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.store import queries
from workbench.runs.store.checked import Checked, checked, words
from workbench.runs.store.files import RunNotFoundError, RunRecordError, is_run_record, read
from workbench.runs.store.rows import last_step
from workbench.runs.store.schema import RUN_FILE

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
    "method",
    "parent_id",
    "fault",
    "problem",
)

NUMBERS = (
    "steps",
    "reward_first",
    "reward_last",
    "accuracy_first",
    "accuracy_last",
    "started",
    "seconds",
)


def list_runs(folder: str | Path, *, reward_metric: str = "reward") -> pd.DataFrame:
    """Every run record below `folder`, the oldest first, with the columns of `COLUMNS`.

    reward_*    `reward_metric` at the first and the last step
    accuracy_*  the first and the last evaluation of the split that was evaluated first
    started     UTC; `seconds` run from there to the end or the last step, interruptions included
    fault       the mistake that was made on purpose (`workbench.faults`), else ''
    problem     why a record could not be read (its status is then 'unreadable'), or which step of
                those looked at is damaged (its numbers are then NaN), else ''

    Raises `RunNotFoundError` when `folder` is not there.
    """
    import pandas as pd

    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise RunNotFoundError(f"{folder} is not a folder. Give the folder that holds the runs.")
    rows = [
        row
        for file in sorted(_records_below(folder))
        if (row := _row(file, reward_metric)) is not None
    ]
    # Texts stay objects: pandas' own dtype for text refuses a file name that is no UTF-8.
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name])
    frame["started"] = pd.to_datetime(frame["started"], unit="s", utc=True)
    return frame.sort_values("started", kind="stable", ignore_index=True)


def _records_below(folder: Path) -> Iterator[Path]:
    """The SQLite files of a folder. One that goes meanwhile, or may not be read, is passed over;
    links to folders are not followed, which may lead back."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names if name.endswith(".sqlite"))


def _row(file: Path, reward_metric: str) -> dict[str, Any] | None:
    """The row of one file; None for an SQLite file that is no run record and is not named like
    one."""
    try:
        if file.name != RUN_FILE and not is_run_record(file):
            return None
        return {
            "path": str(file),
            **read(file, lambda db: _facts(db, reward_metric)),
        }
    except RunRecordError as error:
        return {"path": str(file), "status": "unreadable", "problem": str(error)}


def _facts(db: sqlite3.Connection, reward_metric: str) -> dict[str, Any]:
    meta = queries.meta(db)
    last = last_step(db)
    ends = [checked(db, "steps", step, step) for step in (_first_step(db), last)]
    evaluations = checked(db, "evaluations")
    damaged = [
        words(table, step, reason)
        for table, found in (("steps", ends[0]), ("steps", ends[1]), ("evaluations", evaluations))
        for step, reason in found.damaged.items()
    ]
    rewards = [_metric(found, reward_metric) for found in ends]
    accuracies = _accuracies(evaluations) or [math.nan]
    # One evaluation is the one before training.
    trained = accuracies[-1] if len(accuracies) > 1 else math.nan
    return {
        "id": meta.id,
        "name": meta.name,
        "status": meta.status,
        "steps": last,
        "reward_first": rewards[0],
        "reward_last": rewards[1],
        "accuracy_first": accuracies[0],
        "accuracy_last": trained,
        "started": meta.started,
        "seconds": (meta.finished or meta.last_write) - meta.started,
        "policy": meta.policy,
        "task": meta.task,
        # A record of an earlier version is of GRPO.
        "method": str(meta.config.get("method", "grpo")),
        "parent_id": meta.parent_id,
        "fault": str(meta.environment.get("fault") or ""),
        "problem": " ".join(dict.fromkeys(damaged)),
    }


def _first_step(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(min(step), 0) FROM steps").fetchone()[0])


def _metric(found: Checked, name: str) -> float:
    """The figure of that name of the one step that was read; NaN where there is none."""
    value = found.rows[0][2].get(name) if found.rows else None
    return math.nan if value is None else float(value)


def _accuracies(found: Checked) -> list[float]:
    """Those of the split that was evaluated first."""
    return [accuracy for _, split, _, _, accuracy, *_ in found.rows if split == found.rows[0][1]]
