"""The file that an evaluation keeps its answers in, so that a killed one goes on where it was, and
so that they can be read afterwards.

JSON lines: what was asked first, then a line for each problem. Batches are appended and synced;
lines that a kill has cut off, and problems whose line is missing, are answered anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.evaluation.answered import JUDGES
from workbench.runs.sampled_evaluation import Answered

if TYPE_CHECKING:
    import pandas as pd

ALL_FIELDS = {field.name for field in fields(Answered)}
NEEDED_FIELDS = {field.name for field in fields(Answered) if field.default is MISSING}


class EvaluationError(WorkbenchError, ValueError):
    """A file of answers that cannot be read or gone on with: says what is wrong and what to do."""


@dataclass(frozen=True)
class KeptAnswers:
    """What a file of answers holds."""

    asked: dict[str, Any]
    """What the answers depend on: policy, task, samples, temperature, max_completion_length …"""
    answers: list[Answered]
    """In the order of the problems; fewer than were asked where the evaluation was broken off."""

    def frame(self) -> pd.DataFrame:
        """A row for each completion: problem, question, answer (gold), kind, subject, level, sample
        (0 for the greedy one, then 1 to K), completion, and whether it is right, `strict` and
        `lenient` (None: could not be told in time)."""
        import pandas as pd

        rows = []
        for one in self.answers:
            of_problem = asdict(one)
            texts = [of_problem.pop("greedy"), *of_problem.pop("samples")]
            for sample, text in enumerate(texts):
                verdicts = {name: judge.right(text, one.answer) for name, judge in JUDGES.items()}
                rows.append(of_problem | {"sample": sample, "completion": text} | verdicts)
        # Texts of dtype object: pandas' own cannot hold every text that a model may write.
        columns = [*sorted(ALL_FIELDS - {"greedy", "samples"}, key=_order), "sample", "completion"]
        frame = pd.DataFrame(rows, columns=[*columns, *JUDGES], dtype=object)
        return frame.astype({"problem": int, "sample": int})


def _order(name: str) -> int:
    return [field.name for field in fields(Answered)].index(name)


def read_answers(path: str | Path) -> KeptAnswers:
    """What `workbench eval --out FILE` kept, also while it goes on. Raises `EvaluationError`."""
    file = Path(path).expanduser().absolute()
    try:
        lines = _whole_lines(file)
    except OSError as error:
        raise EvaluationError(
            f"the answers in {file} cannot be read: {error.strerror}. Name a file that "
            "workbench eval --out has written."
        ) from error
    if not lines:
        raise EvaluationError(f"{file} holds no answers yet: its first line is not whole.")
    asked = _header(file, lines[0])
    found = _answers(file, lines[1:])
    return KeptAnswers(asked, [found[place] for place in sorted(found)])


class AnswerFile:
    """Appends to a file what was answered, and knows what stands in it. Raises `EvaluationError`
    where the file was begun with another question, is none of ours, or cannot be written."""

    def __init__(self, path: Path, asked: dict[str, Any]) -> None:
        self.path = path.absolute()
        self.done: dict[int, Answered] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = _whole_lines(self.path) if self.path.exists() else []
            if lines:
                self._take_up(lines, asked)
                os.truncate(self.path, sum(len(line) + 1 for line in lines))
            else:
                self.path.write_bytes(b"")
                self._append([asked])
        except OSError as error:
            raise EvaluationError(
                f"the answers cannot be kept in {self.path}: {error.strerror}. Name another file."
            ) from error

    def _take_up(self, lines: list[bytes], asked: dict[str, Any]) -> None:
        header = _header(self.path, lines[0])
        differing = [
            f"{name} was {header.get(name)!r:.80}, is {value!r:.80}"
            for name, value in asked.items()
            if header.get(name) != value
        ]
        if differing:
            raise EvaluationError(
                f"{self.path} holds the answers to another evaluation: {'; '.join(differing)}. "
                "Name another file, or delete this one."
            )
        self.done = _answers(self.path, lines[1:])

    def add(self, answered: Iterable[Answered]) -> None:
        """The answers to one batch, on the disk when this returns; what is there already stays."""
        new = [a for a in answered if a.problem not in self.done]
        self._append([asdict(a) for a in new])
        self.done |= {a.problem: a for a in new}

    def _append(self, lines: list[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())


# ------------------------------------------------------------ its lines


def _whole_lines(path: Path) -> list[bytes]:
    """Whatever stands behind the last line end was being written when the process died."""
    return path.read_bytes().split(b"\n")[:-1]


def _header(path: Path, line: bytes) -> dict[str, Any]:
    header = _object(path, line, 1)
    if not {"policy", "task", "samples"} <= header.keys():
        raise _foreign(path, 1, "it does not say what was asked")
    return header


def _answers(path: Path, lines: list[bytes]) -> dict[int, Answered]:
    """By the problem's place; of lines that stand twice the first."""
    found: dict[int, Answered] = {}
    for number, line in enumerate(lines, start=2):
        answered = _answered(path, line, number)
        found.setdefault(answered.problem, answered)
    return found


def _object(path: Path, line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    # A line of brackets alone ends Python's reader by its depth.
    except (ValueError, RecursionError) as error:
        raise _foreign(path, number, str(error)) from error
    if not isinstance(value, dict):
        raise _foreign(path, number, f"it is a {type(value).__name__}")
    return value


def _answered(path: Path, line: bytes, number: int) -> Answered:
    value = _object(path, line, number)
    texts = [value.get(name) for name in ("question", "answer", "kind", "greedy")]
    labels = [value.get(name) for name in ("subject", "level")]
    samples = value.get("samples")
    is_one = (
        # Files of before problems had a subject and a level lack both.
        value.keys() >= NEEDED_FIELDS
        and value.keys() <= ALL_FIELDS
        and type(value["problem"]) is int
        and isinstance(samples, list)
        and all(isinstance(text, str) for text in [*texts, *samples])
        and all(label is None or isinstance(label, str) for label in labels)
    )
    if not is_one:
        raise _foreign(path, number, "it is no answered problem")
    return Answered(**value)


def _foreign(path: Path, number: int, why: str) -> EvaluationError:
    return EvaluationError(
        f"{path} is no file of answers (line {number}: {why}). Name another file."
    )
