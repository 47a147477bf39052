"""Contamination: are the problems of an evaluation among those that were trained on?

DeepSeekMath's own filter (arXiv 2402.03300, section 2.1): a text is contaminated where ten words in
a row are those of a benchmark; benchmark texts of fewer than ten words are matched exactly.
Deviations: a short question is compared with whole training questions, not searched for inside
them (3 + 4 stands inside 3 + 4 - 5, and is another problem); signs count as words, since they are
what an arithmetic problem consists of.

It finds words, not ideas: the same problem with other numbers, in other words or in another
language passes, and so does what the policy's makers trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.tasks.types import Problem

WORDS_IN_A_ROW = 10
"""n of the n-grams: DeepSeekMath's choice."""

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Overlap:
    """A problem of the evaluation that shares words with one that was trained on."""

    problem: int
    """Its place among the problems of the evaluation."""
    trained: int
    """The place of the first training problem that it shares them with."""
    share: float
    """The part of its n-grams that some training problem has, in (0, 1]; 1 for the same words."""
    is_exact: bool
    """Whether that training problem has the same words throughout."""


@dataclass(frozen=True)
class Contamination:
    """What the problems of an evaluation share with those that were trained on."""

    problems: int
    """Problems of the evaluation that were looked at."""
    trained: int
    """Training problems that they were held against."""
    n: int
    """Words in a row that count as shared."""
    overlaps: tuple[Overlap, ...]
    """In the order of the evaluation's problems."""

    @property
    def exact(self) -> int:
        """Problems that were trained on word for word."""
        return sum(one.is_exact for one in self.overlaps)

    def as_dict(self) -> dict[str, int]:
        """The counts, as they are printed in JSON."""
        return {
            "problems": self.problems,
            "training_problems": self.trained,
            "words_in_a_row": self.n,
            "overlapping": len(self.overlaps),
            "exact": self.exact,
        }

    def __str__(self) -> str:
        """In words; empty where nothing is shared."""
        if not self.overlaps:
            return ""
        said = (
            f"contamination: {len(self.overlaps)} of {self.problems} problems share {self.n} words "
            f"in a row, or all of fewer, with a training problem; {self.exact} of them are one "
            "word for word."
        )
        if self.exact == 0:
            most = max(one.share for one in self.overlaps)
            said += f" The closest shares {most:.0%} of its rows of words."
            return said + " Shared sentences may be a form that both are written in: look at them."
        return said + " What they score may be memory: leave them out, or report both."


def find_contamination(
    evaluated: Sequence[Problem], trained: Sequence[Problem], n: int = WORDS_IN_A_ROW
) -> Contamination:
    """Which of the problems that are `evaluated` share `n` words in a row with one that was
    `trained` on, or, with fewer words, are the same as one. Case and spaces do not count.

    Linear in the number of words. Raises ValueError for an `n` below 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: words in a row that count as shared, from 1 on.")
    whole: dict[tuple[str, ...], int] = {}
    first_with: dict[tuple[str, ...], int] = {}
    for place, problem in enumerate(trained):
        words = words_of(problem.asked)
        whole.setdefault(words, place)
        for gram in _grams(words, n):
            first_with.setdefault(gram, place)
    overlaps = []
    for place, problem in enumerate(evaluated):
        words = words_of(problem.asked)
        if words in whole:
            overlaps.append(Overlap(place, whole[words], 1.0, True))
            continue
        grams = list(_grams(words, n))
        shared = [first_with[gram] for gram in grams if gram in first_with]
        if shared:
            overlaps.append(Overlap(place, shared[0], len(shared) / len(grams), False))
    return Contamination(len(evaluated), len(trained), n, tuple(overlaps))


def words_of(text: str) -> tuple[str, ...]:
    """The words, numbers and signs of a text, in lower case."""
    return tuple(_WORD.findall(text.casefold()))


def _grams(words: tuple[str, ...], n: int) -> Iterator[tuple[str, ...]]:
    """Every `n` words in a row."""
    return (words[start : start + n] for start in range(len(words) - n + 1))
