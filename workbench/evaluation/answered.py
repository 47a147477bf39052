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
from workbench.rewards import lenient_correct, strict_correct
from workbench.rewards.answers.equal import gold_kind
from workbench.rewards.answers.extract import extract_answer
from workbench.rewards.answers.numerals import read_numeral
from workbench.rewards.answers.spelling import plain
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
    # What is looked for (a number, a letter, words) is known of the problem; the answer is not.
    return extract_answer(text, gold_kind(gold))


@dataclass(frozen=True)
class Judge:
    """One notion of a right completion."""

    right: Callable[[str, str], bool | None]
    """Whether a completion answers a gold answer; None where that could not be told in time."""
    answer: Callable[[str, str], str | None]
    """The answer that a completion gives, or None; the gold tells what kind of thing it is."""

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


@dataclass(frozen=True)
class Verdict:
    """What one problem's completions are worth, all of them judged."""

    kind: str
    greedy: bool
    right_K: list[bool]
    """Of each sample."""
    vote_K: list[str | None]
    """The answer of each sample, where it gives one."""


def verdicts(answered: Sequence[Answered], judge: str = "strict") -> list[Verdict]:
    """A verdict for each problem, but for those of which a completion could not be compared with
    the gold answer in time: not known to be right is not known to be wrong."""
    judged = JUDGES[judge]
    found = []
    for a in answered:
        right = [judged.right(text, a.answer) for text in (a.greedy, *a.samples)]
        known = [verdict for verdict in right if verdict is not None]
        if len(known) == len(right):
            votes = [judged.vote(text, a.answer) for text in a.samples]
            found.append(Verdict(a.kind, known[0], known[1:], votes))
    return found


def undecided(answered: Sequence[Answered]) -> int:
    """How many problems are left out of the figures."""
    return len(answered) - len(verdicts(answered))


def powers_of_two(samples: int) -> list[int]:
    """1, 2, 4 … up to `samples`, and `samples` itself."""
    below = [2**i for i in range(samples.bit_length()) if 2**i < samples]
    return [*below, samples] if samples else []


def summarize(answered: Sequence[Answered], judge: str = "strict") -> dict[str, Estimate]:
    """greedy, and with K samples mean@K, then maj@k and pass@k for k = 1, 2, 4 … K."""
    return _figures(verdicts(answered, judge))


def _figures(judged: Sequence[Verdict]) -> dict[str, Estimate]:
    found = {"greedy": mean_over_problems([float(v.greedy) for v in judged])}
    samples = len(judged[0].right_K) if judged else 0
    if samples == 0:
        return found
    shares = [sum(v.right_K) / samples for v in judged]
    found[f"mean@{samples}"] = mean_over_problems(shares, samples)
    for k in powers_of_two(samples):
        majorities = [majority_at_k(v.vote_K, v.right_K, k) for v in judged]
        passed = [pass_at_k(sum(v.right_K), samples, k) for v in judged]
        found[f"maj@{k}"] = mean_over_problems(majorities, samples // k)
        found[f"pass@{k}"] = mean_over_problems(passed, samples)
    return found


def by_kind(answered: Sequence[Answered], judge: str = "strict") -> dict[str, dict[str, Estimate]]:
    """The same for the problems of each kind, where there is more than one."""
    of_kind: dict[str, list[Verdict]] = {}
    for verdict in verdicts(answered, judge):
        of_kind.setdefault(verdict.kind, []).append(verdict)
    if len(of_kind) < 2:
        return {}
    return {kind: _figures(of_kind[kind]) for kind in sorted(of_kind)}


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
