"""The file that an evaluation keeps its answers in, so that a killed one goes on where it was.

JSON lines: what was asked first, then a line for each problem. Batches are appended and synced;
lines that a kill has cut off, and problems whose line is missing, are answered anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.sampled_evaluation import Answered


class EvaluationError(WorkbenchError, ValueError):
    """A file of answers that cannot be gone on with: says what is wrong and what to do."""


class AnswerFile:
    """Appends to a file what was answered, and knows what stands in it. Raises `EvaluationError`
    where the file was begun with another question, is none of ours, or cannot be written."""

    def __init__(self, path: Path, asked: dict[str, Any]) -> None:
        self.path = path.absolute()
        self.done: dict[int, Answered] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Whatever stands behind the last line end was being written when the process died.
            lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
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
        header = self._object(lines[0], 1)
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
        for number, line in enumerate(lines[1:], start=2):
            answered = self._answered(line, number)
            self.done.setdefault(answered.problem, answered)

    def _object(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise self._foreign(number, str(error)) from error
        if not isinstance(value, dict):
            raise self._foreign(number, f"it is a {type(value).__name__}")
        return value

    def _answered(self, line: bytes, number: int) -> Answered:
        value = self._object(line, number)
        texts = [value.get(name) for name in ("question", "answer", "kind", "greedy")]
        samples = value.get("samples")
        is_one = (
            value.keys() == {field.name for field in fields(Answered)}
            and type(value["problem"]) is int
            and isinstance(samples, list)
            and all(isinstance(text, str) for text in [*texts, *samples])
        )
        if not is_one:
            raise self._foreign(number, "it is no answered problem")
        return Answered(**value)

    def _foreign(self, number: int, why: str) -> EvaluationError:
        return EvaluationError(
            f"{self.path} is no file of answers (line {number}: {why}). Name another file."
        )

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
