"""Any JSONL file of problems as a `Task`: reading it line by line, and splitting it when it has no
test file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.rows import Keys, find_keys, problem_of_row
from workbench.tasks.types import Problem, Task, TaskError

MAX_HELD_OUT = 1000
"""Problems held out of a file that has no test file beside it: a tenth of them, but never more than
this."""

_SPLIT_STREAM = 2
_FILE_NAMES = ("train", "test", "data")


def jsonl_task(
    path: str | Path,
    *,
    question_key: str | None = None,
    answer_key: str | None = None,
    held_out: str | Path | int | None = None,
    seed: int = 0,
    system_prompt: str | None = SYSTEM_PROMPT,
) -> Task:
    """The task in a JSONL file: one JSON object with a question and an answer per line, GSM8K's
    format included.

    `question_key` and `answer_key` name the keys; None takes the first of question, problem, prompt
    and of answer, gold, target, solution that the first line has. `held_out` is a second such file,
    or how many problems to hold out (drawn by `seed`). None takes `test.jsonl` beside a
    `train.jsonl`, and a tenth of the file where there is none. A question that comes twice is kept
    once, in the held-out split where it is in both, with a warning that counts them. Raises
    `TaskError` naming the file, the line, what is wrong and how the line begins.
    """
    path = Path(path)
    problems = read_jsonl(path, question_key, answer_key)
    sibling = path.with_name("test.jsonl")
    if held_out is None and path.name == "train.jsonl" and sibling.is_file():
        held_out = sibling
    if held_out is None or isinstance(held_out, int):
        train, tests = _split(path, problems, held_out, seed)
    else:
        train = problems
        tests = read_jsonl(Path(held_out), question_key, answer_key)
        train = _without(train, tests, path)
    name = path.resolve().parent.name if path.stem in _FILE_NAMES else path.stem
    return Task(name, train, tests, system_prompt)


def read_jsonl(
    path: Path, question_key: str | None = None, answer_key: str | None = None
) -> list[Problem]:
    """The problems of one file, each question once. Raises `TaskError`."""
    _check_path(path)
    keys: Keys | None = None
    problems: dict[str, Problem] = {}
    count = 0
    for number, line in _lines(path):
        try:
            row = _row(line)
            keys = keys or find_keys(row, question_key, answer_key)
            problem = problem_of_row(row, keys)
        except (TaskError, UnicodeDecodeError) as error:
            _fail(path, number, line, error)
        problems.setdefault(problem.question, problem)
        count += 1
    if not problems:
        raise TaskError(
            f"{path}: no problems in it; the file is empty. Expected one JSON object per line."
        )
    if count > len(problems):
        warnings.warn(
            f"{path}: {count - len(problems)} repeated question(s) left out.", stacklevel=3
        )
    return list(problems.values())


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise TaskError(f"{path} is a folder. Name a .jsonl file in it.")
    if not path.exists():
        raise TaskError(f"{path}: there is no such file.")
    if path.suffix != ".jsonl":
        raise TaskError(
            f"{path}: its name ends in {path.suffix!r}, expected a .jsonl file (one JSON object "
            "per line)."
        )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line that is not blank."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise
    # A JSONDecodeError, an integer of 5000 digits, nesting without end.
    except (ValueError, RecursionError) as error:
        raise TaskError(f"not valid JSON ({error})") from error
    if not isinstance(row, Mapping):
        raise TaskError(
            f"holds a {type(row).__name__}, expected an object with a question and an answer."
        )
    return dict(row)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fail(path: Path, number: int, line: bytes, error: Exception) -> NoReturn:
    what = f"not UTF-8 ({error.reason})" if isinstance(error, UnicodeDecodeError) else str(error)
    begins = line[:80].decode("utf-8", "backslashreplace").strip()
    raise TaskError(
        f"{path}, line {number}: {what.rstrip('.')}. The line begins: {begins!r}"
    ) from error


def _split(
    path: Path, problems: list[Problem], count: int | None, seed: int
) -> tuple[list[Problem], list[Problem]]:
    count = min(MAX_HELD_OUT, max(1, len(problems) // 10)) if count is None else count
    if isinstance(count, bool) or not 0 < count < len(problems):
        raise TaskError(
            f"{path}: cannot hold out {count} of {len(problems)} problem(s). Both splits need at "
            "least one: set held_out= to a smaller number or to a second file."
        )
    order = np.random.default_rng((_SPLIT_STREAM, seed)).permutation(len(problems))
    held = set(order[:count].tolist())
    train = [p for i, p in enumerate(problems) if i not in held]
    return train, [problems[i] for i in sorted(held)]


def _without(train: list[Problem], held_out: list[Problem], path: Path) -> list[Problem]:
    held = {p.question for p in held_out}
    kept = [p for p in train if p.question not in held]
    if len(kept) < len(train):
        count = len(train) - len(kept)
        warnings.warn(
            f"{path}: {count} question(s) left out of training because they are held out.",
            stacklevel=3,
        )
    return kept
