"""What was answered: the completions of each problem, kept in a file as they come, and judged only
when they are read.

The file is JSON lines: what was asked first, then a line for each problem. It is appended to batch
by batch and synced, so a killed evaluation goes on where it was; a line that was cut off is written
anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.evaluation.estimators import (
    Estimate,
    majority_at_k,
    mean_over_problems,
    pass_at_k,
)
from workbench.rewards import extract_answer, lenient_correct, strict_correct
from workbench.rewards.answers import gold_kind
from workbench.rewards.numerals import read_numeral
from workbench.rewards.spelling import plain
from workbench.tasks.format import parse


class EvaluationError(WorkbenchError, ValueError):
    """A file of answers that cannot be gone on with: says what differs and what to do."""


@dataclass(frozen=True)
class Answered:
    """One problem with all that the policy said to it."""

    problem: int
    """Its place among the problems that were asked."""
    question: str
    answer: str
    """The gold answer."""
    kind: str
    """What it is counted under."""
    greedy: str
    """The greedy completion."""
    samples: list[str]
    """The K sampled ones."""


# ------------------------------------------------------------ judged


def _strict_answer(text: str, gold: str) -> str | None:
    parsed = parse(text)
    return parsed.answer if parsed else None


def _lenient_answer(text: str, gold: str) -> str | None:
    return extract_answer(text, gold_kind(gold))


@dataclass(frozen=True)
class Judge:
    """One notion of a right completion."""

    right: Callable[[str, str], bool | None]
    """Whether a completion answers a gold answer; None where they could not be compared in time."""
    answer: Callable[[str, str], str | None]
    """The answer that a completion gives, or None; the gold answer says what kind is looked for."""

    def vote(self, text: str, gold: str) -> str | None:
        """The answer in a form in which equal ones are equal: 0.50 and 1/2 are one vote."""
        answer = self.answer(text, gold)
        if answer is None:
            return None
        number = read_numeral(answer)
        return str(number.value) if number else plain(answer).casefold()


JUDGES = {
    "strict": Judge(strict_correct, _strict_answer),
    "lenient": Judge(lenient_correct, _lenient_answer),
}
"""Strict: the whole completion has the format, as accuracy in training counts it. Lenient: the
likeliest answer anywhere in the text, so that a gain in format is not taken for one in ability."""


def powers_of_two(samples: int) -> list[int]:
    """1, 2, 4 … up to `samples`, and `samples` itself."""
    below = [2**i for i in range(samples.bit_length()) if 2**i < samples]
    return [*below, samples] if samples else []


def compared(answered: Sequence[Answered], judge: str = "strict") -> list[Answered]:
    """The problems all of whose completions could be compared with the gold answer in time: not
    known to be right is not known to be wrong."""
    right = JUDGES[judge].right
    return [
        a for a in answered if all(right(t, a.answer) is not None for t in (a.greedy, *a.samples))
    ]


def summarize(answered: Sequence[Answered], judge: str = "strict") -> dict[str, Estimate]:
    """greedy, and with K samples mean@K, then maj@k and pass@k for k = 1, 2, 4 … K, of the problems
    that could be `compared`."""
    judged = JUDGES[judge]
    answered = compared(answered, judge)
    found = {
        "greedy": mean_over_problems([bool(judged.right(a.greedy, a.answer)) for a in answered])
    }
    samples = len(answered[0].samples) if answered else 0
    if samples == 0:
        return found
    right_NK = [[bool(judged.right(text, a.answer)) for text in a.samples] for a in answered]
    vote_NK = [[judged.vote(text, a.answer) for text in a.samples] for a in answered]
    found[f"mean@{samples}"] = mean_over_problems(
        [sum(right_K) / samples for right_K in right_NK], samples
    )
    for k in powers_of_two(samples):
        majorities = [
            majority_at_k(vote_K, right_K, k)
            for vote_K, right_K in zip(vote_NK, right_NK, strict=True)
        ]
        passed = [pass_at_k(sum(right_K), samples, k) for right_K in right_NK]
        found[f"maj@{k}"] = mean_over_problems(majorities, samples // k)
        found[f"pass@{k}"] = mean_over_problems(passed, samples)
    return found


def by_kind(answered: Sequence[Answered], judge: str = "strict") -> dict[str, dict[str, Estimate]]:
    """The same for the problems of each kind, where there is more than one."""
    kinds = sorted({a.kind for a in answered})
    if len(kinds) < 2:
        return {}
    return {kind: summarize([a for a in answered if a.kind == kind], judge) for kind in kinds}


# ------------------------------------------------------------ kept


class AnswerFile:
    """Appends to a file what was answered, and knows what stands in it. Raises `EvaluationError`
    where the file was begun with another question."""

    def __init__(self, path: Path, asked: dict[str, Any]) -> None:
        self.path = path.absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done: list[Answered] = []
        if self.path.exists() and self.path.stat().st_size:
            self._take_up(asked)
        else:
            self._append([asked])

    def _take_up(self, asked: dict[str, Any]) -> None:
        lines = self.path.read_bytes().split(b"\n")
        # Whatever stands behind the last line end was being written when the process died.
        whole = b"".join(line + b"\n" for line in lines[:-1])
        try:
            header, *rest = [json.loads(line) for line in lines[:-1]]
            self.done = [Answered(**line) for line in rest]
        except (ValueError, TypeError) as error:
            raise EvaluationError(
                f"{self.path} is no file of answers ({error}). Name another file."
            ) from error
        differing = [
            f"{name} was {header.get(name)!r}, is {value!r}"
            for name, value in asked.items()
            if header.get(name) != value
        ]
        if differing:
            raise EvaluationError(
                f"{self.path} holds the answers to another evaluation: {'; '.join(differing)}. "
                "Name another file, or delete this one."
            )
        os.truncate(self.path, len(whole))

    def add(self, answered: Iterable[Answered]) -> None:
        """One batch of answers, on the disk when this returns."""
        new = list(answered)
        self._append([asdict(a) for a in new])
        self.done += new

    def _append(self, lines: list[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
