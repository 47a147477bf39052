"""The tables of a run record, its format version, and how a value becomes a cell.

A record is one SQLite file. Ordinary tools can read it: texts are TEXT, settings and metrics are
JSON; only the per-token arrays are binary (see `workbench.runs.store.arrays`). Every table but
`meta` and `vocab` has a `step` column, so that a record is cut or branched at a step by one
condition.
"""

from __future__ import annotations

import json
import math
from typing import Any

FORMAT_VERSION = 1
"""Raised when an older reader could misread a newer file. Stored in SQLite's `user_version`."""

APPLICATION_ID = 0x47525057
"""'GRPW', in SQLite's `application_id`: tells a run record from any other SQLite file."""

RUN_FILE = "run.sqlite"
"""The record's file name inside a run folder."""

STATUSES = ("running", "finished", "stopped", "failed")
"""What a record says of its run. A reader adds 'interrupted': still 'running', but its writer is
gone."""

MAX_METRICS = 1_000
"""Different figures of a run, and of each step. A run has about fifty; views make a column, a
choice and a curve of each."""

STEP_TABLES: dict[str, str] = {
    "steps": "step INTEGER PRIMARY KEY, time REAL NOT NULL, metrics TEXT NOT NULL",
    "knobs": "step INTEGER NOT NULL, name TEXT NOT NULL, old TEXT, new TEXT, who TEXT NOT NULL, "
    "time REAL NOT NULL",
    "evaluations": "step INTEGER NOT NULL, split TEXT NOT NULL, n INTEGER NOT NULL, correct "
    "INTEGER NOT NULL, accuracy REAL, low REAL, high REAL, extra TEXT NOT NULL, time REAL NOT "
    "NULL, PRIMARY KEY (step, split)",
    "groups": "step INTEGER NOT NULL, group_index INTEGER NOT NULL, problem_id TEXT NOT NULL, "
    "prompt TEXT NOT NULL, "
    "gold_answer TEXT, dead INTEGER NOT NULL, PRIMARY KEY (step, group_index)",
    "samples": "step INTEGER NOT NULL, row INTEGER NOT NULL, group_index INTEGER NOT NULL, "
    "completion TEXT NOT NULL, rewards TEXT NOT NULL, reward REAL, advantage REAL, baseline REAL, "
    "length INTEGER NOT NULL, truncated INTEGER NOT NULL, PRIMARY KEY (step, row)",
    "arrays": "step INTEGER NOT NULL, name TEXT NOT NULL, dtype TEXT NOT NULL, codec TEXT NOT "
    "NULL, data BLOB NOT NULL, PRIMARY KEY (step, name)",
    "events": "step INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT "
    "NULL, data TEXT NOT NULL",
}
"""Columns of each table that grows with the steps. A NULL in a REAL column is NaN: SQLite has no
NaN of its own."""

RUN_TABLES: dict[str, str] = {
    "meta": "key TEXT PRIMARY KEY, value TEXT NOT NULL",
    "vocab": "id INTEGER PRIMARY KEY, piece TEXT NOT NULL",
}
"""Columns of the tables that belong to the run as a whole."""

LATER_STEP_TABLES: dict[str, str] = {
    "sampled_evaluations": "step INTEGER NOT NULL, split TEXT NOT NULL, judge TEXT NOT NULL, "
    "grouping TEXT NOT NULL, label TEXT NOT NULL, figure TEXT NOT NULL, value REAL, low REAL, high "
    "REAL, n INTEGER NOT NULL, asked TEXT NOT NULL, time REAL NOT NULL, "
    "PRIMARY KEY (step, split, judge, grouping, label, figure)",
    "sampled_answers": "step INTEGER NOT NULL, split TEXT NOT NULL, problem INTEGER NOT NULL, "
    "question TEXT NOT NULL, answer TEXT NOT NULL, kind TEXT NOT NULL, greedy TEXT NOT NULL, "
    "samples TEXT NOT NULL, subject TEXT, level TEXT, PRIMARY KEY (step, split, problem)",
}
"""Columns of tables that grow with the steps and that an older record does not have; a writer that
opens one makes them."""

ALL_STEP_TABLES = STEP_TABLES | LATER_STEP_TABLES

LATER_TABLES: dict[str, str] = LATER_STEP_TABLES | {
    "checksums": "name TEXT NOT NULL, key INTEGER NOT NULL, digest TEXT NOT NULL, "
    "PRIMARY KEY (name, key)",
}
"""Columns of tables that an older record does not have. A checksum's name is that of a table, its
key a step, or a token's id for `vocab` (see `workbench.runs.store.checksums`)."""


def statements() -> list[str]:
    """The SQL that makes an empty record."""
    return [
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {FORMAT_VERSION}",
        *map(statement, RUN_TABLES | STEP_TABLES | LATER_TABLES),
    ]


def statement(table: str) -> str:
    """The SQL that makes a table."""
    return f"CREATE TABLE {table} ({(RUN_TABLES | STEP_TABLES | LATER_TABLES)[table]})"


def foreign_table(found: dict[str, tuple[str, str]]) -> str | None:
    """The first table that is not there as this version makes it, of name to (kind, SQL) as a file
    has them; None where all are. A view in a table's place could compute for ever."""
    for table in RUN_TABLES | STEP_TABLES | LATER_TABLES:
        if table not in found and table in LATER_TABLES:
            continue
        kind, sql = found.get(table, ("", ""))
        if kind != "table" or sql.split() != statement(table).split():
            return table
    return None


def to_cell(text: str, what: str) -> str | bytes:
    """`text` as SQLite can hold it: a lone surrogate has no UTF-8, such a text is kept as bytes.
    Raises TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be text, not {type(text).__name__}: {text!r:.80}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_cell(cell: Any) -> Any:
    """What `to_cell` was given; None and numbers pass through."""
    return cell.decode("utf-8", "surrogatepass") if isinstance(cell, bytes) else cell


def to_json(value: Any, what: str) -> str:
    """`value` as ASCII JSON (NaN and infinity in Python's spelling). Raises TypeError naming
    `what`."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{what} must be plain JSON values: {error}. Convert arrays and tensors to lists."
        ) from error


def number(value: Any, what: str) -> float:
    """`value` as a float; None is NaN. Raises TypeError naming `what`."""
    if value is None:
        return math.nan
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError("text")
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must be a number, not {value!r:.80}.") from error


def number_to_json(value: float) -> str:
    """`value` as a JSON number that every reader takes: NaN is null, infinity overflows to
    itself."""
    if math.isfinite(value):
        return repr(value)
    return "null" if math.isnan(value) else "1e999" if value > 0 else "-1e999"
