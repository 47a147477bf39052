"""What a record answers, as plain values and numpy arrays: the reading half of `rows`, for one open
connection."""

from __future__ import annotations

import json
import math
import sqlite3
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.runs.environment import is_alive
from workbench.runs.store.arrays import MAX_SIZE, positions, unpack
from workbench.runs.store.cells import SHAPES
from workbench.runs.store.checked import (
    Checked,
    Row,
    checked,
    facts_of,
    pieces_of,
    whole_step,
    words,
)
from workbench.runs.store.checksums import has_checksums, seals_of
from workbench.runs.store.files import DamagedError, RunRecordError, RunWarning
from workbench.runs.store.rows import Packed, last_step
from workbench.runs.store.schema import MAX_METRICS

Columns = dict[str, np.ndarray]
"""Column name to values; all of one length. Texts are of dtype object: pandas' str cannot hold a
lone surrogate."""

Marked = tuple[Columns, dict[int, str]]
"""Columns, and step to what is wrong with it: a sentence that follows on the record's name."""

DAMAGED = "(damaged)"
"""Stands in place of a name in a row that marks a damaged step."""

HEAVY = ("groups", "samples", "arrays")
"""The tables that hold a step's completions and tokens."""

NO_STEP = -1

MAX_GAP = 1_000
"""Missing steps in a row that are marked one by one."""

MAX_ROWS = 2**20
"""Completions of a step whose samples were not kept."""

INTEGERS = ("step", "row", "group", "length", "n", "correct", "problem")
FLOATS = ("time", "reward", "advantage", "baseline", "accuracy", "value", "low", "high")
BOOLS = ("truncated", "dead")

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
    """The facts of the run, its status as of now. Raises `DamagedError`."""
    facts = facts_of(db)
    last = last_step(db)
    times = [row[1] for row in checked(db, "steps", last, last).rows]
    facts["last_write"] = max([facts["started"], *times])
    if not is_alive(facts["writer"], facts["last_write"]) and facts["status"] == "running":
        facts["status"] = "interrupted"
    return RunMeta(**{name: facts[name] for name in RunMeta.__dataclass_fields__})


def require_step(db: sqlite3.Connection, step: int) -> None:
    """Raises `RunRecordError` unless the step is there."""
    if db.execute("SELECT 1 FROM steps WHERE step = ?", (int(step),)).fetchone() is None:
        if 0 < step <= last_step(db):
            raise DamagedError(words("steps", int(step), "it is missing"))
        first, last = db.execute("SELECT min(step), max(step) FROM steps").fetchone()
        holds = "no step yet" if first is None else f"steps {first} to {last}"
        raise RunRecordError(f"step {step!r} is not in the record, which holds {holds}.")


def config_at(db: sqlite3.Connection, step: int) -> dict[str, Any]:
    """The config in force at `step`: the run's, with the knob changes up to there. Raises
    `DamagedError` where one of them is not known."""
    changes = checked(db, "knobs")
    for at, reason in changes.damaged.items():
        if at <= step:
            raise DamagedError(words("knobs", at, reason))
    config: dict[str, Any] = facts_of(db)["config"]
    return config | {name: new for at, name, _, new, *_ in changes.rows if at <= step}


def steps(db: sqlite3.Connection, since: int, names: Sequence[str] | None) -> Marked:
    """Step, time, and each metric as float64 (NaN where a step has none), for the steps after
    `since`; a damaged step has NaN in all."""
    found = _without_gap(checked(db, "steps", int(since) + 1), int(since) + 1)
    lost: list[Row] = [(step, math.nan, {}) for step in found.damaged]
    by_step = sorted([*found.rows, *lost], key=lambda row: int(row[0]))
    metrics = [row[2] for row in by_step]
    if names is None:
        # Records of before the writer held the limit may have more.
        every = dict.fromkeys(name for row in metrics for name in row)
        names = list(every)[:MAX_METRICS]
        if len(every) > MAX_METRICS:
            warnings.warn(
                f"the steps name {len(every)} different figures: the first {MAX_METRICS} are read. "
                "steps(columns=[NAME, …]) reads others.",
                RunWarning,
                stacklevel=2,
            )
    values = {name: np.array([row.get(name) for row in metrics], dtype=float) for name in names}
    own = {
        "step": column("step", [row[0] for row in by_step]),
        "time": column("time", [row[1] for row in by_step]),
    }
    return own | values, {step: words("steps", step, why) for step, why in found.damaged.items()}


def _without_gap(found: Checked, first: int) -> Checked:
    """The steps, where one that is missing between others is damaged too: the writer leaves none
    out. A step far behind the others is no step of the run."""
    rows: list[Row] = []
    damaged = dict(found.damaged)
    for row in found.rows:
        gap = range(first, row[0])
        if len(gap) > MAX_GAP:
            damaged[row[0]] = f"the {len(gap)} steps before it are missing"
            continue
        damaged = dict.fromkeys(gap, "it is missing") | damaged
        rows.append(row)
        first = row[0] + 1
    return Checked(rows, damaged)


def column(name: str, values: list[Any]) -> np.ndarray:
    """The values as the dtype that a column of that name has; NULL in a float column is NaN."""
    dtype: Any = object
    if name in INTEGERS:
        dtype = np.int64
    elif name in FLOATS:
        dtype = np.float64
    elif name in BOOLS:
        dtype = np.bool_
    filled = np.empty(len(values), dtype)
    filled[:] = values
    return filled


def samples(db: sqlite3.Connection, step: int) -> Columns:
    """The completions of a step, with their prompts and a column `rewards/<name>` per reward
    function. Raises `DamagedError`."""
    names = facts_of(db)["reward_names"]
    groups = {row[1]: row for row in whole_step(db, "groups", step)}
    found = sorted(whole_step(db, "samples", step), key=lambda row: int(row[1]))
    if (reason := _misfit(found, list(groups), len(names))) is not None:
        raise DamagedError(words("samples", step, reason))
    cells: dict[str, list[Any]] = {name: [] for name in SAMPLE_COLUMNS}
    for _, row, group, completion, rewards, *figures in found:
        _, _, problem_id, prompt, gold, dead = groups[group]
        reward, advantage, baseline, length, truncated = figures
        asked = (step, row, group, problem_id, prompt, gold, completion)
        scored = (rewards, reward, advantage, baseline, length, truncated, dead)
        for name, value in zip(SAMPLE_COLUMNS, asked + scored, strict=True):
            cells[name].append(value)
    given = cells.pop("rewards")
    by_function = {
        f"rewards/{name}": np.array([row[k] for row in given], float)
        for k, name in enumerate(names)
    }
    return {name: column(name, values) for name, values in cells.items()} | by_function


def _misfit(found: list[Row], groups: list[int], functions: int) -> str | None:
    """Why the rows of `samples` are not those of groups of one size, as the writer makes them; None
    where they are."""
    if sorted(groups) != list(range(len(groups))) or len(found) % max(len(groups), 1):
        return f"{len(found)} completions in groups {sorted(groups)[:9]}"
    if found and not groups:
        return "its groups are missing"
    size = len(found) // max(len(groups), 1)
    if [(row[1], row[2]) for row in found] != [(i, i // size) for i in range(len(found))]:
        return "its completions are not numbered by their groups"
    if any(len(row[4]) != functions for row in found):
        return f"a completion has not {functions} rewards"
    return None


def problem(db: sqlite3.Connection, problem_id: str) -> Marked:
    """The completions that a problem got in all steps; a damaged step is left out and named."""
    # By all groups: an id that is damaged would not be found by itself.
    groups = checked(db, "groups")
    damaged = {step: words("groups", step, reason) for step, reason in groups.damaged.items()}
    kept = {step for (step,) in db.execute("SELECT DISTINCT step FROM samples")}
    for step in kept - {row[0] for row in groups.rows} - damaged.keys():
        damaged[step] = words("groups", step, "they are missing")
    parts = [samples(db, NO_STEP)]
    for step in sorted({row[0] for row in groups.rows if row[2] == problem_id}):
        try:
            whole = samples(db, step)
        except DamagedError as error:
            damaged[step] = str(error)
            continue
        mine = whole["problem_id"] == problem_id
        parts.append({name: values[mine] for name, values in whole.items()})
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined, damaged


def recorded_problems(db: sqlite3.Connection) -> list[tuple[str, str, str | None]]:
    """(id, prompt, gold answer) of each problem that was asked, in the order of the steps; those of
    damaged steps are left out."""
    return list(dict.fromkeys((row[2], row[3], row[4]) for row in checked(db, "groups").rows))


def arrays(db: sqlite3.Connection, step: int) -> dict[str, np.ndarray]:
    """The flat token arrays of a step by name: lengths, ids and the float ones; empty when they
    were not kept. Raises `DamagedError`."""
    require_step(db, step)
    packed: Packed = {
        name: (dtype, codec, blob)
        for _, name, dtype, codec, blob in whole_step(db, "arrays", int(step))
    }
    if not packed:
        return {}
    try:
        lengths_B = _lengths(db, int(step), packed)
        size = int(lengths_B.sum(dtype=np.int64))
        flat = {name: unpack(*cells, size) for name, cells in packed.items() if name != "lengths"}
        if "ids" not in flat or any(len(values) != size for values in flat.values()):
            raise ValueError(f"its arrays are not of {size} tokens")
    except (ValueError, zlib.error) as error:
        raise DamagedError(words("arrays", int(step), str(error))) from error
    return {"lengths": lengths_B} | flat


def _lengths(db: sqlite3.Connection, step: int, packed: Packed) -> np.ndarray:
    """The tokens of each row: as many rows as there are completions, where these were kept, and
    none longer than an array may be when it is padded. Raises ValueError."""
    if "lengths" not in packed:
        raise ValueError("the lengths are missing")
    kept = [row[8] for row in whole_step(db, "samples", step)]
    lengths_B = unpack(*packed["lengths"], len(kept) or MAX_ROWS)
    if lengths_B.dtype != np.int32 or lengths_B.min(initial=0) < 0:
        raise ValueError("the lengths are not whole numbers from 0 on")
    if kept and lengths_B.tolist() != kept:
        raise ValueError("the lengths are not those of the completions")
    if len(lengths_B) * int(lengths_B.max(initial=0)) > MAX_SIZE:
        longest = lengths_B.max()
        raise ValueError(f"{len(lengths_B)} rows of up to {longest} tokens are more than it holds")
    return lengths_B


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
    known, _ = vocab(db, np.unique(ids).tolist())
    texts = column("piece", [known.get(i) for i in ids.tolist()])
    floats = {name: values[part] for name, values in flat.items()}
    return {"row": rows[part], "position": places[part], "id": ids, "piece": texts, **floats}


def vocab(
    db: sqlite3.Connection, ids: Sequence[int] | None = None
) -> tuple[dict[int, str], list[int]]:
    """The text of those token ids, or of all that occurred, where it is known; and the ids whose
    text is damaged, which is then not among them."""
    sealed = has_checksums(db)
    columns = "v.id, v.piece, c.digest" if sealed else "v.id, v.piece, NULL"
    join = " LEFT JOIN checksums c ON c.name = 'vocab' AND c.key = v.id" if sealed else ""
    condition = "" if ids is None else " WHERE v.id IN (SELECT value FROM json_each(?))"
    values = () if ids is None else (json.dumps(ids),)
    found = db.execute(f"SELECT {columns} FROM vocab v{join}{condition}", values)
    return pieces_of(found.fetchall())


def table(db: sqlite3.Connection, name: str, step: int | None = None) -> Marked:
    """A small table as columns, in the order of the steps, or its rows of one step. In place of the
    rows of a damaged step stands one that says so."""
    found = checked(db, name) if step is None else checked(db, name, int(step), int(step))
    said = {step: words(name, step, reason) for step, reason in found.damaged.items()}
    marks = [_mark(name, step, text) for step, text in said.items()]
    rows = sorted([*found.rows, *marks], key=lambda row: int(row[0]))
    columns = {c: column(c, [row[i] for row in rows]) for i, c in enumerate(SHAPES[name])}
    return columns, said


def _mark(name: str, step: int, said: str) -> Row:
    """A row in place of those that are damaged."""
    nan = math.nan
    marks: dict[str, Row] = {
        "knobs": (step, DAMAGED, None, None, DAMAGED, nan),
        "evaluations": (step, DAMAGED, 0, 0, nan, nan, nan, {DAMAGED: said}, nan),
        "events": (step, nan, "warning", f"the record {said}", {}),
        "sampled_evaluations": (
            step,
            *[DAMAGED] * 5,
            nan,
            nan,
            nan,
            0,
            {DAMAGED: said},
            nan,
        ),
        "sampled_answers": (step, DAMAGED, 0, *[DAMAGED] * 4, [], None, None),
    }
    return marks[name]


def damage(db: sqlite3.Connection) -> list[str]:
    """All that is damaged in the record, a sentence each. Reads every byte of it."""
    said = []
    for name in SHAPES:
        found = checked(db, name) if name not in HEAVY else None
        if found is not None:
            said += [words(name, step, reason) for step, reason in found.damaged.items()]
    kept = {step for name in HEAVY for (step,) in db.execute(f"SELECT step FROM {name}")}
    kept |= {step for name in HEAVY if has_checksums(db) for step in seals_of(db, name)}
    for step in sorted(kept, key=str):
        for look in (samples, arrays):
            try:
                look(db, step)
            except RunRecordError as error:
                said.append(str(error))
    if wrong := vocab(db)[1]:
        said.append(f"is damaged in the texts of {len(wrong)} tokens, the first {wrong[0]}.")
    return list(dict.fromkeys(said))
