"""What people keep problems in: files, lists of dicts, pandas frames, data sets of the library
`datasets`, tables of pyarrow. Each becomes numbered rows of plain Python values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.tasks.sources import bounds
from workbench.tasks.sources.bounds import Rows
from workbench.tasks.sources.files import rows_of_file, unit_of
from workbench.tasks.sources.json_files import held_out_in
from workbench.tasks.sources.tables import check_names
from workbench.tasks.types import TaskError

_FILE_NAMES = ("train", "test", "data")
HELD_OUT_SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Source:
    """Rows of problems, and what messages call them."""

    label: str
    """The path, or what was handed over."""

    unit: str
    """'line' or 'row'."""

    rows: Rows

    name: str
    """What a task from it is called."""

    def place(self, number: int) -> str:
        """A row as messages name it."""
        return f"{self.unit} {number}"


def source_of(data: Any) -> Source:
    """`data` as numbered rows. Raises `TaskError` for what has none."""
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        stem = path.name.partition(".")[0]
        named_by_folder = stem in _FILE_NAMES or stem.startswith("train-")
        name = path.resolve().parent.name if named_by_folder else stem
        return Source(_printable(str(data)), unit_of(path), _bounded(rows_of_file(path)), name)
    library = type(data).__module__.partition(".")[0]
    if library == "pandas" and hasattr(data, "to_dict"):
        return _frame(data)
    if library == "pyarrow" and hasattr(data, "to_pylist"):
        check_names("the table", data.schema.names)
        return _in_memory("the table", data.to_pylist(), "rows")
    if library == "datasets":
        _check_features(data)
        info = getattr(data, "info", None)
        name = getattr(info, "dataset_name", None) or "rows"
        return _in_memory("the data set", _with_names(data), str(name))
    if isinstance(data, (list, tuple)):
        return _in_memory("the list", data, "rows")
    raise TaskError(
        f"a task cannot be read from {type(data).__name__}. Give a path, a list of dicts, a pandas "
        "frame, a datasets.Dataset or a pyarrow table."
    )


def _printable(text: str) -> str:
    """A path may hold what a terminal obeys."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def own_splits(data: Any) -> tuple[Any, Any | None]:
    """What to train on and what is held out, where `data` has its own splits (a
    `datasets.DatasetDict`, a dict with "train" and "test"). Raises `TaskError` for other dicts."""
    if not isinstance(data, Mapping):
        return data, None
    if "train" not in data:
        raise TaskError(
            f"a dict with {sorted(map(str, data))!r:.200} has no 'train'. Give {{'train': rows, "
            "'test': rows}, or one of its values."
        )
    return data["train"], next((data[k] for k in HELD_OUT_SPLITS if k in data), None)


def split_in_file(path: Path) -> Source | None:
    """What is held out, where a .json file holds both splits."""
    rows = held_out_in(path.expanduser(), HELD_OUT_SPLITS)
    if rows is None:
        return None
    return Source(f"{_printable(str(path))} (held out)", "row", _bounded(rows), path.stem)


def _frame(frame: Any) -> Source:
    check_names("the frame", [str(name) for name in frame.columns])
    return _in_memory("the frame", frame.to_dict("records"), "rows")


def _check_features(data: Any) -> None:
    """Raises `TaskError` for columns of pictures or sounds, before a row is decoded."""
    features = getattr(data, "features", None) or {}
    seen = [k for k, kind in features.items() if type(kind).__name__ in ("Image", "Video", "Audio")]
    if seen:
        raise TaskError(
            f"the data set has pictures, sounds or films (column {seen[0]!r}), and the policy "
            f"reads text alone. Where the questions need none: data.remove_columns({seen!r})."
        )


def _with_names(data: Any) -> Iterator[Any]:
    """The rows with the names of their classes: the data set keeps a number for each, and -1 where
    there is none."""
    features = getattr(data, "features", None) or {}
    names = {k: kind.names for k, kind in features.items() if type(kind).__name__ == "ClassLabel"}
    for row in data:
        if not names or not isinstance(row, Mapping):
            yield row
            continue
        named = {k: _class_name(row[k], names[k]) for k in names.keys() & row.keys()}
        yield {**row, **named}


def _class_name(number: Any, names: list[str]) -> Any:
    is_index = isinstance(number, int) and 0 <= number < len(names)
    return names[number] if is_index else None


def _in_memory(label: str, rows: Iterable[Any], name: str) -> Source:
    return Source(label, "row", _bounded(_numbered(label, rows)), name)


def _numbered(label: str, rows: Iterable[Any]) -> Rows:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TaskError(
                f"{label}, row {number}: is a {type(row).__name__}, expected a dict with a "
                "question and an answer."
            )
        yield number, row


def _bounded(rows: Rows) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for count, (number, row) in enumerate(rows):
        if count >= bounds.MAX_ROWS:
            raise TaskError(f"there are more than {bounds.MAX_ROWS:,} rows. Take a part of them.")
        yield number, {str(key): plain_value(value) for key, value in row.items()}


def plain_value(value: Any) -> Any:
    """numpy's and pandas' values as Python's own; what a table calls missing as None."""
    if isinstance(value, Mapping):
        return {str(key): plain_value(inner) for key, inner in value.items()}
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        if type(value).__name__ in ("NAType", "NaTType"):
            return None
        value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return [plain_value(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
