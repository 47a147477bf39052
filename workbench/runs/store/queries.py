"""What a record answers, as plain values and numpy arrays: the reading half of `rows`, for one open
connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.runs.environment import is_alive
from workbench.runs.store.arrays import positions, unpack
from workbench.runs.store.files import RunRecordError
from workbench.runs.store.rows import all_meta, get_meta
from workbench.runs.store.schema import from_cell

Columns = dict[str, np.ndarray]
"""Column name to values; all of one length. Texts are of dtype object: pandas' str cannot hold a
lone surrogate."""

INTEGERS = ("step", "row", "group", "length", "n", "correct")
FLOATS = ("time", "reward", "advantage", "baseline", "accuracy", "low", "high")
BOOLS = ("truncated", "dead")

SAMPLES_SQL = """
    SELECT s.step, s.row, s.group_index, g.problem_id, g.prompt, g.gold_answer, s.completion,
           s.rewards, s.reward, s.advantage, s.baseline, s.length, s.truncated, g.dead
    FROM samples s JOIN groups g ON g.step = s.step AND g.group_index = s.group_index"""
SAMPLE_COLUMNS = (
    "step",
    "row",
    "group",
    "problem_id",
    "prompt",
    "gold_answer",
    "completion",
    "rewards",
    "reward",
    "advantage",
    "baseline",
    "length",
    "truncated",
    "dead",
)


@dataclass(frozen=True)
class RunMeta:
    """The facts of a run. Times are Unix seconds."""

    id: str
    name: str

    status: str
    """'running', 'finished', 'stopped', 'failed', or 'interrupted': its process is gone."""

    reason: str
    """Why it was stopped or failed; else empty."""

    policy: str
    task: str

    reward_names: list[str]
    """The K reward functions, in the order of the samples' columns."""

    seed: int | None

    config: dict[str, Any]
    """What the run began with; `config_at` has the knob changes."""

    environment: dict[str, Any]
    """Packages and machine, as `describe_environment` found them."""

    started: float

    last_write: float
    """When the last step was recorded, or the run began."""

    finished: float | None
    """None while it runs or when it was interrupted."""

    parent_id: str | None
    parent_name: str | None

    branch_step: int | None
    """The last step that a branch shares with its parent."""

    revision: int
    """How often the record was cut back, so that a view that polls knows when to read everything
    again."""

    journal_mode: str
    """'wal', or 'delete' where that was refused."""

    format_version: int


def meta(db: sqlite3.Connection) -> RunMeta:
    """The facts of the run, its status as of now."""
    facts = all_meta(db)
    last = db.execute("SELECT time FROM steps ORDER BY step DESC LIMIT 1").fetchone()
    facts["last_write"] = max(facts["started"], last[0] if last else 0.0)
    if not is_alive(facts["writer"], facts["last_write"]) and facts["status"] == "running":
        facts["status"] = "interrupted"
    return RunMeta(**{name: facts[name] for name in RunMeta.__dataclass_fields__})


def require_step(db: sqlite3.Connection, step: int) -> None:
    """Raises `RunRecordError` unless the step is there."""
    if db.execute("SELECT 1 FROM steps WHERE step = ?", (int(step),)).fetchone() is None:
        first, last = db.execute("SELECT min(step), max(step) FROM steps").fetchone()
        holds = "no step yet" if first is None else f"steps {first} to {last}"
        raise RunRecordError(f"step {step!r} is not in the record, which holds {holds}.")


def config_at(db: sqlite3.Connection, step: int) -> dict[str, Any]:
    """The config in force at `step`: the run's, with the knob changes up to there."""
    changes = db.execute("SELECT name, new FROM knobs WHERE step <= ? ORDER BY rowid", (int(step),))
    config: dict[str, Any] = all_meta(db)["config"]
    return config | {name: json.loads(new) for name, new in changes}


def steps(db: sqlite3.Connection, since: int, names: Sequence[str] | None) -> Columns:
    """Step, time, and each metric as float64 (NaN where a step has none), for the steps after
    `since`."""
    found = db.execute(
        "SELECT step, time, metrics FROM steps WHERE step > ? ORDER BY step", (since,)
    ).fetchall()
    metrics = json.loads("[" + ",".join(row[2] for row in found) + "]")
    names = list(dict.fromkeys(name for row in metrics for name in row)) if names is None else names
    values = {name: np.array([row.get(name) for row in metrics], dtype=float) for name in names}
    return {
        "step": column("step", [row[0] for row in found]),
        "time": column("time", [row[1] for row in found]),
    } | values


def column(name: str, values: list[Any]) -> np.ndarray:
    """The values as the dtype that a column of that name has; NULL in a float column is NaN."""
    dtype = (
        np.int64
        if name in INTEGERS
        else np.float64
        if name in FLOATS
        else np.bool_
        if name in BOOLS
        else object
    )
    filled = np.empty(len(values), dtype)
    filled[:] = values
    return filled


def samples(db: sqlite3.Connection, condition: str, value: Any) -> Columns:
    """The completions where `condition` holds, with their prompts and a column `rewards/<name>` per
    reward function."""
    found = db.execute(
        f"{SAMPLES_SQL} WHERE {condition} ORDER BY s.step, s.row", (value,)
    ).fetchall()
    cells = {name: [from_cell(row[i]) for row in found] for i, name in enumerate(SAMPLE_COLUMNS)}
    rewards = [json.loads(cell) for cell in cells.pop("rewards")]
    names = get_meta(db, "reward_names")
    by_function = {
        f"rewards/{name}": np.array([row[k] for row in rewards], float)
        for k, name in enumerate(names)
    }
    return {name: column(name, values) for name, values in cells.items()} | by_function


def arrays(db: sqlite3.Connection, step: int) -> dict[str, np.ndarray]:
    """The flat token arrays of a step by name: lengths, ids and the float ones; empty when they
    were not kept."""
    require_step(db, step)
    found = db.execute(
        "SELECT name, dtype, codec, data FROM arrays WHERE step = ? ORDER BY rowid", (int(step),)
    )
    return {name: unpack(dtype, codec, blob) for name, dtype, codec, blob in found}


def tokens(db: sqlite3.Connection, step: int, row: int | None) -> Columns:
    """Row, position, id, text and every float array of the tokens of a step, or of one row of
    it."""
    flat = arrays(db, step)
    lengths_B = flat.pop("lengths", np.zeros(0, np.int32))
    rows, places = positions(lengths_B)
    part = slice(None)
    if row is not None and len(lengths_B):
        if not 0 <= row < len(lengths_B):
            raise RunRecordError(
                f"row {row!r} is not in step {step}, which has rows 0 to {len(lengths_B) - 1}."
            )
        part = slice(int(lengths_B[:row].sum()), int(lengths_B[: row + 1].sum()))
    ids = flat.pop("ids", np.zeros(0, np.int32))[part]
    known = vocab(db, np.unique(ids).tolist())
    texts = column("piece", [known.get(i) for i in ids.tolist()])
    floats = {name: values[part] for name, values in flat.items()}
    return {"row": rows[part], "position": places[part], "id": ids, "piece": texts, **floats}


def vocab(db: sqlite3.Connection, ids: Sequence[int] | None = None) -> dict[int, str]:
    """The text of those token ids, or of all that occurred, where it is known."""
    wanted = (
        ("", ())
        if ids is None
        else (" WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
    )
    return {
        i: from_cell(piece)
        for i, piece in db.execute(f"SELECT id, piece FROM vocab{wanted[0]}", wanted[1])
    }


def table(
    db: sqlite3.Connection, name: str, columns: Sequence[str], json_columns: Sequence[str]
) -> Columns:
    """A small table as columns, in the order of the steps."""
    found = db.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY step, rowid").fetchall()
    read = {c: json.loads if c in json_columns else from_cell for c in columns}
    return {c: column(c, [read[c](row[i]) for row in found]) for i, c in enumerate(columns)}
