"""A tornado as a small file in its run's folder: `tornado/step-000012.json`, a few kilobytes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.runs.store.files import RunRecordError, record_path
from workbench.runs.store.reader import Run
from workbench.runs.tornado.result import TornadoResult

FOLDER = "tornado"
VERSION = 1
"""Of the file's format."""


def folder_of(run: str | Path | Run) -> Path:
    """Where a run's tornados lie."""
    record = run.path if isinstance(run, Run) else record_path(run)
    return record.parent / FOLDER


def save(result: TornadoResult, run: str | Path | Run) -> TornadoResult:
    """Write it into the run's folder, beside any that is there; the same with its path."""
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    path = _free(folder, f"step-{result.step:06d}")
    text = json.dumps({"version": VERSION, "tornado": result.to_dict()}, default=_plain)
    # Whole or not at all: a reader may come at any moment.
    draft = path.with_name(f".writing-{path.name}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return replace(result, path=path)


def _free(folder: Path, name: str) -> Path:
    number = 1
    path = folder / f"{name}.json"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.json"
    return path


def _plain(value: Any) -> Any:
    """A tuple of weights is a list there; nothing else is in a config that JSON has not."""
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"a tornado cannot keep {value!r}.")


def stored_tornados(run: str | Path | Run) -> list[Path]:
    """The files of a run's tornados, by step and, at the same step, in the order in which they were
    made."""
    files = folder_of(run).glob("step-*.json")
    return sorted(files, key=lambda path: [int(n) for n in path.stem.split("-")[1:] if n.isdigit()])


def open_tornado(path: str | Path) -> TornadoResult:
    """Read one. Raises `RunRecordError` for a file that is none, or of a later version."""
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["version"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise RunRecordError(f"{path} is no tornado that can be read ({error}).") from error
    if version != VERSION:
        raise RunRecordError(
            f"{path} is of version {version!r}, this workbench reads {VERSION}. Upgrade it, or "
            "make the tornado again."
        )
    try:
        result = TornadoResult.from_dict(values["tornado"])
        # Its figures are asked for at once, so that what is missing is said here.
        _ = result.bands, result.frame
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise RunRecordError(
            f"{path} is no whole tornado ({type(error).__name__}: {error}). Delete it and make it "
            "again."
        ) from error
    return replace(result, path=path)


def is_of_this_past(result: TornadoResult, run: Run) -> bool:
    """Whether the run's record still has the step that the branches began from: a rewind may have
    led it another way since."""
    if result.step == 0:
        return True
    steps = run.steps(since=result.step - 1)
    if not len(steps) or int(steps["step"].iloc[0]) != result.step:
        return False
    row = steps.iloc[0]
    return all(row.get(name) == value for name, value in result.fingerprint.items())
