"""The two splits of a task: the data's own, or some problems drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.tasks.reading.read import read_problems
from workbench.tasks.reading.report import PLACES, Dropped, Reading
from workbench.tasks.sources.hub import hub_name, is_hub_name, rows_of_hub, splits_of_hub
from workbench.tasks.sources.kinds import Source, own_splits, source_of, split_in_file
from workbench.tasks.types import Problem, TaskError

MAX_HELD_OUT = 1000
"""Problems held out of data that has no test split: a tenth of them, but never more than this."""

_SPLIT_STREAM = 2


@dataclass(frozen=True)
class Splits:
    """The problems of a task."""

    train: list[Problem]
    held_out: list[Problem]

    name: str
    """The task's."""

    evaluation_only: bool = False
    """Whether the data has nothing to train on."""


def splits_of(data: Any, held_out: Any, seed: int, reading: Reading) -> Splits:
    """The problems to train on and those held out. Raises `TaskError`."""
    source, beside = _sources(data)
    if source is None:
        # A split to be asked alone; whoever says what to hold out of it wants to train on it.
        if held_out is None and beside is not None:
            tests = read_problems(beside, reading)
            return Splits([], tests, beside.name, evaluation_only=True)
        source, beside = beside, None
    assert source is not None, "data has at least one split"
    held_out = beside if held_out is None else held_out
    problems = read_problems(source, reading)
    if held_out is None or isinstance(held_out, int):
        train, tests = _split(source.label, problems, held_out, seed)
        return Splits(train, tests, source.name)
    tests = read_problems(_one_source(held_out), reading)
    return Splits(_without(problems, tests, reading), tests, source.name)


def _sources(data: Any) -> tuple[Source | None, Source | None]:
    """What to train on, and what is held out where the data says so itself."""
    if is_hub_name(data):
        return splits_of_hub(hub_name(data))
    data, beside = own_splits(data)
    if beside is None and isinstance(data, (str, Path)):
        beside = _file_beside(Path(data)) or split_in_file(Path(data))
    return source_of(data), None if beside is None else _one_source(beside)


def _one_source(data: Any) -> Source:
    if isinstance(data, Source):
        return data
    return rows_of_hub(hub_name(data)) if is_hub_name(data) else source_of(data)


def _file_beside(path: Path) -> Path | None:
    """`test.jsonl` beside a `train.jsonl`, `test-00000-of-00001.parquet` beside its like."""
    if path.stem != "train" and not path.stem.startswith("train-"):
        return None
    sibling = path.with_name("test" + path.name.removeprefix("train"))
    return sibling if sibling.is_file() else None


def _split(
    label: str, problems: list[Problem], count: int | None, seed: int
) -> tuple[list[Problem], list[Problem]]:
    count = min(MAX_HELD_OUT, max(1, len(problems) // 10)) if count is None else count
    if isinstance(count, bool) or not 0 < count < len(problems):
        raise TaskError(
            f"{label}: cannot hold out {count} of {len(problems)} problem(s). Both splits need at "
            "least one: give more rows, or put a test file beside a train file (in Python: "
            "held_out= a smaller number or a second source)."
        )
    order = np.random.default_rng((_SPLIT_STREAM, seed)).permutation(len(problems))
    held = set(order[:count].tolist())
    train = [p for i, p in enumerate(problems) if i not in held]
    return train, [problems[i] for i in sorted(held)]


def _without(train: list[Problem], tests: list[Problem], reading: Reading) -> list[Problem]:
    held = {p.asked: p.answer for p in tests}
    kept = [p for p in train if p.asked not in held]
    if len(kept) < len(train):
        shared = [p for p in train if p.asked in held]
        other = [f"{p.question!r:.60}" for p in shared if p.answer != held[p.asked]]
        why = "question(s) left out of training because they are held out"
        if other:
            why += f", {len(other)} of them with another gold there"
        reading.dropped.append(Dropped(why, len(shared), tuple(other[:PLACES])))
    return kept
