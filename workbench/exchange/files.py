"""The files of an import, and their completions by step."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from workbench.exchange.readers import READERS, Completion
from workbench.exchange.rewards import RewardColumns
from workbench.exchange.sorting import Part
from workbench.exchange.values import ImportFileError
from workbench.tasks.sources.files import rows_of_file, unit_of

ENDINGS = (".jsonl", ".parquet")


def files_of(given: Sequence[str | Path]) -> list[Path]:
    """The files, each once, those of a folder in the order of the numbers in their names."""
    found: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [each for each in path.iterdir() if each.suffix.lower() in ENDINGS]
        if not inside:
            raise ImportFileError(f"{path}: the folder holds no {' or '.join(ENDINGS)} file.")
        found += sorted(inside, key=_natural)
    # Not `resolve`, which a loop of links ends; reading it says in words what is wrong.
    return list({os.path.realpath(path): path for path in reversed(found)}.values())[::-1]


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def parts_of(file: Path, source: str, number: int, columns: RewardColumns) -> list[Part]:
    """The completions of a file by step."""
    found: dict[int, list[Completion]] = {}
    usual = step_in_name(file.name) or number
    for line, row in rows_of_file(file):
        completion = READERS[source](f"{file}, {unit_of(file)} {line}", row, columns)
        step = usual if completion.step is None else completion.step
        found.setdefault(step, []).append(completion)
    return [Part(file, step, rows) for step, rows in found.items()]


def step_in_name(name: str) -> int | None:
    """The last number of a file's name, as in 12.jsonl and completions_00012.parquet."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers and len(numbers[-1]) < 8 else None
