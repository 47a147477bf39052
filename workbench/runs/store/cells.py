"""What a cell of a record may hold: one check per column. A record may come from anywhere, so that
nothing of it is believed before its check has passed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from workbench.config import GRPOConfig
from workbench.errors import WorkbenchError
from workbench.runs.store.schema import ALL_STEP_TABLES, MAX_METRICS, STATUSES, from_cell

Kind = TypeVar("Kind", dict[str, Any], list[Any])

Check = Callable[[Any], Any]
"""Takes a cell and gives its value. Raises `CellError`."""

MAX_DEPTH = 32
"""Lists and objects in one another. Nothing that is written here goes deeper than five; Python's
own reader ends at about a thousand, and what walks the value afterwards sooner."""

MAX_STEPS = 10**9
"""A run of a second a step would take thirty years."""

LATEST = 2.0**33
"""Seconds since 1970, in the year 2242: pandas' times end in 2262."""

MAX_DIGITS = 19
"""Of a whole number: 64 bits."""


class CellError(WorkbenchError, ValueError):
    """A cell that does not hold what its column says, in words that follow on the column's name."""


def whole(cell: Any) -> int:
    """A whole number from 0 on."""
    if type(cell) is not int or cell < 0:
        raise CellError(f"is {_shown(cell)}, not a whole number from 0 on")
    return cell


def step_number(cell: Any) -> int:
    """A step, of which a run has fewer than `MAX_STEPS`."""
    if whole(cell) >= MAX_STEPS:
        raise CellError(f"is {cell}, later than any step")
    return int(cell)


def flag(cell: Any) -> bool:
    """0 or 1."""
    if type(cell) is not int or cell not in (0, 1):
        raise CellError(f"is {_shown(cell)}, not 0 or 1")
    return bool(cell)


def real(cell: Any) -> float:
    """A number; NULL is NaN."""
    if cell is None:
        return math.nan
    if type(cell) not in (int, float):
        raise CellError(f"is {_shown(cell)}, not a number")
    return float(cell)


def moment(cell: Any) -> float:
    """Unix seconds."""
    seconds = real(cell)
    if not 0 <= seconds <= LATEST:
        raise CellError(f"is {seconds}, not a time between 1970 and 2242")
    return seconds


def name(cell: Any) -> str:
    """A short text that tables may be labelled with: no bytes, no lone surrogate."""
    if type(cell) is not str or not _is_unicode(cell):
        raise CellError(f"is {_shown(cell)}, not a text")
    return cell


def text(cell: Any) -> str:
    """Any text; one with a lone surrogate is kept as bytes."""
    try:
        found = from_cell(cell)
    except UnicodeDecodeError as error:
        raise CellError(f"is no UTF-8: {error}") from error
    if type(found) is not str:
        raise CellError(f"is {_shown(cell)}, not a text")
    return found


def optional_text(cell: Any) -> str | None:
    """Any text, or NULL."""
    return None if cell is None else text(cell)


def blob(cell: Any) -> bytes:
    """Bytes."""
    if type(cell) is not bytes:
        raise CellError(f"is {_shown(cell)}, not bytes")
    return cell


def json_value(cell: Any) -> Any:
    """JSON of any kind, not deeper than `MAX_DEPTH`; NULL is None."""
    return None if cell is None else _parsed(text(cell), VALUES)


def json_object(cell: Any) -> dict[str, Any]:
    """A JSON object."""
    return _of_kind(json_value(cell), dict)


def metrics(cell: Any) -> dict[str, float | None]:
    """A JSON object of at most `MAX_METRICS` numbers; null is None."""
    written = text(cell)
    values = _of_kind(_parsed(written, FIGURES), dict)
    if len(values) > MAX_METRICS:
        raise CellError(f"holds {len(values)} figures, more than {MAX_METRICS}")
    _check_numbers(values.values())
    # Names are ASCII nearly always; the text without an escape says so at once.
    if ("\\" in written or not written.isascii()) and not all(map(_is_unicode, values)):
        raise CellError("has a figure whose name is no text")
    return values


def numbers(cell: Any) -> list[float | None]:
    """A JSON list of numbers; null is None."""
    values = _of_kind(_parsed(text(cell), FIGURES), list)
    _check_numbers(values)
    return values


def texts(cell: Any) -> list[str]:
    """A JSON list of any texts."""
    values = _of_kind(json_value(cell), list)
    if odd := [value for value in values if type(value) is not str]:
        raise CellError(f"holds {_shown(odd[0])} in place of a text")
    return values


SHAPES: dict[str, dict[str, Check]] = {
    "steps": {"step": step_number, "time": moment, "metrics": metrics},
    "knobs": {
        "step": step_number,
        "name": name,
        "old": json_value,
        "new": json_value,
        "who": name,
        "time": moment,
    },
    "evaluations": {
        "step": step_number,
        "split": name,
        "n": whole,
        "correct": whole,
        "accuracy": real,
        "low": real,
        "high": real,
        "extra": json_object,
        "time": moment,
    },
    "groups": {
        "step": step_number,
        "group_index": whole,
        "problem_id": text,
        "prompt": text,
        "gold_answer": optional_text,
        "dead": flag,
    },
    "samples": {
        "step": step_number,
        "row": whole,
        "group_index": whole,
        "completion": text,
        "rewards": numbers,
        "reward": real,
        "advantage": real,
        "baseline": real,
        "length": whole,
        "truncated": flag,
    },
    "arrays": {"step": step_number, "name": name, "dtype": name, "codec": name, "data": blob},
    "events": {
        "step": step_number,
        "time": moment,
        "kind": name,
        "text": text,
        "data": json_object,
    },
    "sampled_evaluations": {
        "step": step_number,
        "split": name,
        "judge": name,
        "grouping": name,
        "label": text,
        "figure": name,
        "value": real,
        "low": real,
        "high": real,
        "n": whole,
        "asked": json_object,
        "time": moment,
    },
    "sampled_answers": {
        "step": step_number,
        "split": name,
        "problem": whole,
        "question": text,
        "answer": text,
        "kind": text,
        "greedy": text,
        "samples": texts,
        "subject": optional_text,
        "level": optional_text,
    },
}
"""A check for each column of each table that grows with the steps."""


def _config(cell: Any) -> dict[str, Any]:
    """Settings; one that is a field of ours has the field's kind."""
    values = json_object(cell)
    for entry in fields(GRPOConfig):
        if entry.name in values and not _fits(str(entry.type), values[entry.name]):
            raise CellError(f"has {entry.name}={_shown(values[entry.name])}, wanted {entry.type}")
    return values


def _fits(kind: str, value: Any) -> bool:
    """Whether a JSON value is of the kind that a field's annotation names."""
    if value is None:
        return "None" in kind
    if kind.startswith("bool"):
        return type(value) is bool
    if kind.startswith(("int", "float")):
        return type(value) in (int, float)
    if kind.startswith("str"):
        return type(value) is str and _is_unicode(value)
    return type(value) is list and all(type(one) in (int, float) for one in value)


def _writer(cell: Any) -> dict[str, Any] | None:
    """The mark of a process that writes, or nothing."""
    mark = json_value(cell)
    if mark is None:
        return None
    kinds = {"host": str, "pid": int, "token": str}
    found = _of_kind(mark, dict)
    if any(type(found.get(key)) is not kind for key, kind in kinds.items()) or (
        "process_start" not in found or not 0 < found["pid"] < 2**31
    ):
        raise CellError(f"is {_shown(mark)}, not the mark of a process")
    return found


def _reward_names(cell: Any) -> list[str]:
    """Different texts."""
    values = _of_kind(json_value(cell), list)
    if len(set(map(str, values))) < len(values) or len(values) > MAX_METRICS:
        raise CellError("names a reward function twice, or too many")
    return [name(value) for value in values]


def _json_of(check: Check) -> Check:
    """A check of the value that a JSON cell holds."""
    return lambda cell: check(json_value(cell))


def _or_none(check: Check) -> Check:
    """The check, where null is allowed."""
    return lambda cell: None if json_value(cell) is None else check(cell)


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise CellError(f"is {_shown(value)}, not one of {choices}")
        return str(value)

    return check


def _seed(value: Any) -> int:
    if type(value) is not int:
        raise CellError(f"is {_shown(value)}, not a whole number")
    return value


FACTS: dict[str, Check] = {
    "id": _json_of(name),
    "name": _json_of(text),
    "status": _json_of(_one_of(*STATUSES)),
    "reason": _json_of(text),
    "policy": _json_of(text),
    "task": _json_of(text),
    "reward_names": _reward_names,
    "seed": _or_none(_json_of(_seed)),
    "config": _config,
    "environment": json_object,
    "started": _json_of(moment),
    "finished": _or_none(_json_of(moment)),
    "parent_id": _or_none(_json_of(text)),
    "parent_name": _or_none(_json_of(text)),
    "branch_step": _or_none(_json_of(step_number)),
    "revision": _json_of(whole),
    "journal_mode": _json_of(_one_of("wal", "delete")),
    "format_version": _json_of(whole),
    "writer": _writer,
}
"""A check for each fact of the run, all of which a record has."""

SEALED_FROM = "sealed_from"
"""A fact that a record has since there are checksums: the first step all of whose rows have one."""

LATER_FACTS: dict[str, Check] = {
    SEALED_FROM: _json_of(whole),
    "newest_checkpoint": _or_none(_json_of(whole)),
}
"""Facts that an older record does not have."""


def check_row(table: str, cells: Sequence[Any]) -> None:
    """Raises `CellError` for a row to be written that a reader would take for damaged."""
    for (column, check), cell in zip(SHAPES[table].items(), cells, strict=True):
        _check_written(check, cell, f"{table}.{column}")


def check_fact(key: str, cell: str) -> None:
    """Raises `CellError` for a fact to be written that a reader would take for damaged."""
    _check_written((FACTS | LATER_FACTS).get(key, json_value), cell, key)


def _check_written(check: Check, cell: Any, what: str) -> None:
    try:
        check(_as_stored(cell))
    except CellError as error:
        raise CellError(
            f"{what} {error}: a record cannot hold that. Give a value of the kind named, a long "
            "number as text."
        ) from error


def _as_stored(cell: Any) -> Any:
    """The cell as SQLite gives it back: of a plain type, where it is of one that descends from
    it."""
    for plain in (int, float):
        if isinstance(cell, plain):
            return plain(cell)
    return str.__str__(cell) if isinstance(cell, str) else cell


def _check_numbers(values: Any) -> None:
    if not {type(value) for value in values} <= {float, type(None)}:
        odd = next(v for v in values if v is not None and type(v) is not float)
        raise CellError(f"holds {_shown(odd)} in place of a number")


def _parsed(cell: str, reader: json.JSONDecoder) -> Any:
    try:
        value = reader.decode(cell)
    except CellError:  # in its own words
        raise
    # A text of brackets alone ends Python's reader by its depth.
    except (ValueError, RecursionError) as error:
        raise CellError(f"is no JSON: {error}") from error
    if cell.count("[") + cell.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [v for values in inner for v in values if isinstance(v, (dict, list))]
        if not level:
            return
    raise CellError(f"holds lists and objects more than {MAX_DEPTH} deep")


def _short_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise CellError(f"holds a whole number of {len(digits)} digits")
    return int(digits)


VALUES = json.JSONDecoder(parse_int=_short_int)
"""Reads JSON of any kind."""

FIGURES = json.JSONDecoder(parse_int=float)
"""Reads JSON whose numbers are figures."""


def _of_kind(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind):
        word = "an object" if kind is dict else "a list"
        raise CellError(f"is {_shown(value)}, not {word}")
    return value


def _is_unicode(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)


def _shown(value: Any) -> str:
    return f"{value!r:.40}"


assert {table: list(columns) for table, columns in SHAPES.items()} == {
    table: [column.split()[0] for column in columns.split(", PRIMARY KEY")[0].split(", ")]
    for table, columns in ALL_STEP_TABLES.items()
}
