"""What was answered, and what it is worth: the completions of each problem are kept as they are,
and judged when they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from workbench.rewards.answers.several import split_label
from workbench.rewards.answers.spelling import plain
from workbench.runs.sampled_evaluation import Answered
from workbench.tasks.format import parse

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
        """The answer in a form in which equal ones are equal: 0.50, 1/2 and x = 1/2 are one vote;
        10/2 is another than 5, since it is not worked out."""
        answer = self.answer(text, gold)
        if answer is None:
            return None
        _, value = split_label(answer)
        number = read_numeral(value)
        if number is None or number.unfinished:
            return plain(value).casefold()
        return str(number.value)


JUDGES = {
    "strict": Judge(strict_correct, _strict_answer),
    "lenient": Judge(lenient_correct, _lenient_answer),
}
"""Strict: the whole completion has the format, as accuracy in training counts it. Lenient: the
likeliest answer anywhere in the text, so that a gain in format is not taken for one in ability."""


@dataclass(frozen=True)
class Verdict:
    """What one problem's completions are worth, all of them judged."""

    of: Answered
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
            found.append(Verdict(a, known[0], known[1:], votes))
    return found


def powers_of_two(samples: int) -> list[int]:
    """1, 2, 4 … up to `samples`, and `samples` itself."""
    below = [2**i for i in range(samples.bit_length()) if 2**i < samples]
    return [*below, samples] if samples else []


@dataclass(frozen=True)
class Values:
    """A figure of each problem."""

    value_N: list[float]
    """In [0, 1]."""
    draws: int = 1
    """Independent draws behind each of them, at most."""


def values_of(judged: Sequence[Verdict]) -> dict[str, Values]:
    """Of each problem: greedy, and with K samples mean@K, then maj@k and pass@k for k = 1, 2, 4 …
    K."""
    found = {"greedy": Values([float(verdict.greedy) for verdict in judged])}
    samples = len(judged[0].right_K) if judged else 0
    if samples == 0:
        return found
    shares = [sum(verdict.right_K) / samples for verdict in judged]
    found[f"mean@{samples}"] = Values(shares, samples)
    for k in powers_of_two(samples):
        majorities = [majority_at_k(verdict.vote_K, verdict.right_K, k) for verdict in judged]
        passed = [pass_at_k(sum(verdict.right_K), samples, k) for verdict in judged]
        found[f"maj@{k}"] = Values(majorities, samples // k)
        found[f"pass@{k}"] = Values(passed, samples)
    return found


def summarize(judged: Sequence[Verdict]) -> dict[str, Estimate]:
    """The means of `values_of`, with their intervals."""
    return {
        name: mean_over_problems(values.value_N, values.draws)
        for name, values in values_of(judged).items()
    }


GROUPINGS = ("kind", "subject", "level")
"""What the figures are also given by, where the problems have it."""


def grouped(judged: Sequence[Verdict], grouping: str) -> dict[str, list[Verdict]]:
    """The verdicts of each kind, subject or level, in the order in which these come; those of
    problems that have none under the empty text."""
    found: dict[str, list[Verdict]] = {}
    for verdict in judged:
        found.setdefault(getattr(verdict.of, grouping) or "", []).append(verdict)
    return found


def labelled(judged: Sequence[Verdict], grouping: str) -> dict[str, list[Verdict]]:
    """The same without the problems that have none, in the order of the names, numbers as
    numbers."""
    found = grouped(judged, grouping)
    return {label: found[label] for label in sorted(found, key=_by_number) if label}


def _by_number(label: str) -> tuple[float, str]:
    """Level 10 comes after level 9; words come last."""
    number = read_numeral(label.casefold().removeprefix("level").strip())
    if number is None:
        return math.inf, label
    return float(number.value), label


def counts(judged: Sequence[Verdict]) -> list[int]:
    """Right ones and all, greedy."""
    return [sum(verdict.greedy for verdict in judged), len(judged)]
