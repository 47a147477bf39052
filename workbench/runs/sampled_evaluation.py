"""What an evaluation with samples leaves in the record: its figures, and the answers that they were
counted from, so that what was judged can be read and judged anew."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answered:
    """One problem with all that the policy said to it."""

    problem: int
    """Its place among the problems that were asked."""
    question: str
    answer: str
    """The gold answer."""
    kind: str
    """A label of the task's to count results under; empty where it has none."""
    greedy: str
    """The greedy completion."""
    samples: list[str]
    """The K sampled ones."""
    subject: str | None = None
    """The field that the problem is of, where the data say it."""
    level: str | None = None
    """How hard the data say that it is."""


@dataclass(frozen=True)
class Figure:
    """One number of an evaluation, with its 95 % interval."""

    judge: str
    """'strict': the whole completion has the format; 'lenient': the likeliest answer in it."""
    grouping: str
    """What the problems are counted by: 'all', 'kind', 'subject' or 'level'."""
    label: str
    """Which kind, subject or level; empty for all problems."""
    figure: str
    """'greedy', 'mean@8', 'maj@4', 'pass@8' and the like."""
    value: float
    """In [0, 1]; NaN where no problem was counted."""
    low: float
    high: float
    n: int
    """Problems, not samples."""


@dataclass(frozen=True)
class SampledEvaluation:
    """One evaluation with samples."""

    split: str
    """'held_out', or the name of another task than the run's."""
    figures: Sequence[Figure]
    answers: Sequence[Answered] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    """How the answers were made: samples, temperature, max_completion_length, seed …; JSON."""
    time: float = field(default_factory=clock.time)
    """Unix seconds."""
