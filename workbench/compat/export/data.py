"""The problems of a task as a JSON Lines file: the conversation that asks each, and its columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.compat.export.source import ExportFolderError
from workbench.config import GRPOConfig
from workbench.tasks.types import Problem, Task, columns_of

Row = dict[str, Any]


def train_order(task: Task, config: GRPOConfig) -> list[Problem]:
    """The problems to train on in the order in which the run draws them in its first epoch; those
    of a first batch that is larger than that are drawn again, as the run does."""
    drawn = max(len(task.train), config.prompts_per_step)
    return [task.train[i] for i in task.draw(0, drawn, config.seed)]


def held_out(task: Task, config: GRPOConfig) -> list[Problem]:
    """The problems that the run is evaluated on."""
    return list(task.held_out[: config.num_eval_problems])


def rows_of(task: Task, problems: Sequence[Problem]) -> list[Row]:
    """A row for each problem: `prompt` as a chat template takes it, and what reward functions get
    by name. Raises `ExportFolderError` for what JSON cannot hold."""
    columns = columns_of(problems)
    rows = [
        {"prompt": task.messages(problem), **{name: columns[name][i] for name in columns}}
        for i, problem in enumerate(problems)
    ]
    try:
        # As they will be read: a tuple is a list then.
        plain: list[Row] = json.loads(json.dumps(rows, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ExportFolderError(
            f"a column of the task cannot be written as JSON ({error}). Leave it out of the data."
        ) from error
    return plain


def write_rows(rows: Sequence[Row], file: Path) -> None:
    """An object a line, in ASCII, so that no text of the data can harm a reader."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def fit_for_arrow(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """The rows without the columns that a table of `datasets` would give back otherwise, such as
    those of mixed types; and their names."""
    names = [name for name in rows[0] if name != "prompt"] if rows else []
    lost = [name for name in names if not _comes_back(name, rows)]
    return [{n: v for n, v in row.items() if n not in lost} for row in rows], lost


def _comes_back(name: str, rows: Sequence[Row]) -> bool:
    import pyarrow as pa

    values = [row[name] for row in rows]
    make: Callable[..., Any] = pa.array
    try:
        found: bool = make(values).to_pylist() == values
    except (pa.ArrowException, OverflowError):
        return False
    return found
