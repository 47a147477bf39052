"""Whether two records hold the same numbers, bit for bit, and where they part first.

Compared is what a run computes: settings that moved, prompts, completions, rewards, advantages,
token arrays, metrics, evaluations. Left out is what a clock, a machine or a name gives: times,
`seconds/…`, versions, events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from workbench.runs.store import queries
from workbench.runs.store.cells import SHAPES
from workbench.runs.store.checked import facts_of, whole_step
from workbench.runs.store.files import read, record_path
from workbench.runs.store.rows import last_step

MEASURED = "seconds/"
"""How the names of metrics begin that a clock gives."""

KEYS: dict[str, tuple[str, ...]] = {
    "knobs": ("name",),
    "groups": ("group_index",),
    "samples": ("row",),
    "arrays": (),
    "steps": (),
    "evaluations": ("split",),
    "sampled_evaluations": ("split", "judge", "grouping", "label", "figure"),
    "sampled_answers": ("split", "problem"),
}
"""The tables that are compared, in the order in which a step fills them, and the columns that name
a row of a step."""

ABSENT = "(not there)"
"""Stands for the value that one of the two records has not."""


@dataclass(frozen=True)
class Difference:
    """The first value that is not the same in both records."""

    step: int
    table: str
    name: str
    """The metric, or row and column."""
    values: tuple[Any, Any]

    def __str__(self) -> str:
        left, right = (f"{value!r:.200}" for value in self.values)
        return f"step {self.step}, {self.table}, {self.name}: {left} and {right}"


@dataclass(frozen=True)
class Exact:
    """What a comparison found."""

    first: Difference | None
    """None where all that was compared is the same."""

    steps: int
    """Whole steps that are the same in both, before the first difference."""

    numbers: int
    """Numbers compared and found the same."""

    texts: int
    """Texts and other values compared and found the same."""

    settings: list[str]
    """Facts and settings that differ; they are no numbers of the run and count as no difference."""


def compare_exactly(a: str | Path, b: str | Path) -> Exact:
    """Hold two records (a run's folder or its .sqlite file) against each other, step by step, up to
    the first value that differs; NaN equals NaN, and 0.0 is not -0.0.

    Raises `RunRecordError`; `DamagedError` where a step of either is not what was written.
    """
    left, right = record_path(a), record_path(b)
    return read(left, lambda one: read(right, lambda other: _compared(one, other)))


def _compared(a: sqlite3.Connection, b: sqlite3.Connection) -> Exact:
    numbers = texts = 0
    settings = _other_settings(facts_of(a), facts_of(b))
    lasts = last_step(a), last_step(b)
    for step in range(min(lasts) + 1):
        for table in KEYS:
            pairs = zip_longest(_values(a, table, step), _values(b, table, step))
            for mine, its in pairs:
                if (found := _difference(step, table, mine, its)) is not None:
                    return Exact(found, max(step - 1, 0), numbers, texts, settings)
                counted = _numbers_in(mine[1])
                numbers += counted
                texts += not counted
    first = None
    if lasts[0] != lasts[1]:
        there = tuple("there" if last > min(lasts) else ABSENT for last in lasts)
        first = Difference(min(lasts) + 1, "steps", "the step", (there[0], there[1]))
    return Exact(first, min(lasts), numbers, texts, settings)


def _values(db: sqlite3.Connection, table: str, step: int) -> Iterator[tuple[str, Any]]:
    """Name and value of all that a table holds of a step."""
    if table == "arrays":
        yield from _arrays(db, step)
        return
    columns = list(SHAPES[table])
    for cells in whole_step(db, table, step):
        row = dict(zip(columns, cells, strict=True))
        key = " ".join(str(row[name]) for name in KEYS[table])
        label = f"{'row ' if table in ('samples', 'groups') else ''}{key} " if key else ""
        for name, value in row.items():
            if name == "metrics":
                yield from _metrics(value)
            elif name not in ("step", "time"):
                yield f"{label}{name}", value


def _metrics(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """By name: in which order they were written is not a number of the run."""
    nan = float("nan")
    for name in sorted(found):
        if not name.startswith(MEASURED):
            yield name, nan if found[name] is None else found[name]


def _arrays(db: sqlite3.Connection, step: int) -> Iterator[tuple[str, Any]]:
    if step == 0:
        return
    found = queries.arrays(db, step)
    yield from sorted(found.items())


def _difference(
    step: int, table: str, a: tuple[str, Any] | None, b: tuple[str, Any] | None
) -> Difference | None:
    """None where both are of one name and the same to the last bit."""
    if a is None or b is None or a[0] != b[0]:
        # The smaller name is the one that the other record lacks.
        name = min(one[0] for one in (a, b) if one is not None)
        values = tuple(
            _shown(one[1]) if one is not None and one[0] == name else ABSENT for one in (a, b)
        )
        return Difference(step, table, name, (values[0], values[1]))
    if isinstance(a[1], np.ndarray):
        return _first_of(step, table, a[0], a[1], b[1])
    return None if repr(a[1]) == repr(b[1]) else Difference(step, table, a[0], (a[1], b[1]))


def _first_of(step: int, table: str, name: str, a: np.ndarray, b: np.ndarray) -> Difference | None:
    """The first number in which two arrays differ, by its place among the step's tokens."""
    if a.tobytes() == b.tobytes() and a.dtype == b.dtype:
        return None
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return Difference(step, table, f"{name}, its length", (len(a), len(b)))
    bits = np.dtype(f"u{a.dtype.itemsize}")
    place = int(np.flatnonzero(a.view(bits) != b.view(bits))[0])
    return Difference(step, table, f"{name}[{place}]", (a[place].item(), b[place].item()))


def _shown(value: Any) -> Any:
    return f"{value.size} numbers" if isinstance(value, np.ndarray) else value


def _numbers_in(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return int(value.size)
    if isinstance(value, list):
        return sum(map(_numbers_in, value))
    return int(isinstance(value, (int, float)))


def _other_settings(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    own = [name for name in ("policy", "task", "reward_names", "seed") if a[name] != b[name]]
    names = dict.fromkeys([*a["config"], *b["config"]])
    return own + [n for n in names if a["config"].get(n) != b["config"].get(n) and n not in own]
