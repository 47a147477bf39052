"""Asking a reward function about texts as a training would, one problem at a time."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.rewards.calling import RewardError
from workbench.rewards.functions import as_messages
from workbench.rewards.score import RewardSet, RewardWarning
from workbench.tasks.types import Problem, Task, columns_of

Encode = Callable[[str], Sequence[int]]
"""Text to token ids."""

_PIECES = re.compile(r"\w+|\s+|[^\w\s]")
_WORD_IDS = 50_000
"""How many ids there are; more than enough that two words seldom share one."""
_MOST_LATE = 3
"""Texts of a problem that may each take the whole time before the check gives up."""


def word_ids(text: str) -> list[int]:
    """An id for each word, sign and white space: in place of a tokenizer, for rewards that count
    tokens."""
    return [
        zlib.crc32(piece.encode("utf-8", "surrogatepass")) % _WORD_IDS
        for piece in _PIECES.findall(text)
    ]


@dataclass(frozen=True)
class Scored:
    """What a reward said of one text."""

    score: float | None
    """None where it said None, or failed."""

    failure: str = ""
    """What it raised."""


@dataclass
class Asking:
    """Asks the reward as a training would: messages, token ids, the columns of the problem."""

    rewards: RewardSet
    """The one function."""

    task: Task
    """Whose messages it gets."""

    encode: Encode
    """Makes the token ids."""

    timeout: float | None
    """Seconds of one call."""

    should_stop: Callable[[], bool] | None
    """Asked meanwhile."""

    calls: int = 0
    """Made so far: the step that the function is told."""

    def scores(self, problem: Problem, texts: Sequence[str]) -> list[Scored]:
        """The score of each text, or the error that it alone makes."""
        try:
            return [_scored(value) for value in self._call(problem, texts)]
        except RewardError:
            # Some text is at fault: each has its own call, and its own time.
            return self._alone(problem, texts)

    def _alone(self, problem: Problem, texts: Sequence[str]) -> list[Scored]:
        found: list[Scored] = []
        late = 0
        for text in texts:
            try:
                found.append(_scored(self._call(problem, [text])[0]))
            except RewardError as error:
                found.append(Scored(None, _why(error)))
                # Where not even the row is known, it had not returned.
                late += error.row is None
                if late == _MOST_LATE:
                    raise
        return found

    def _call(self, problem: Problem, texts: Sequence[str]) -> list[float]:
        self.calls += 1
        columns: Mapping[str, list[Any]] = columns_of([problem] * len(texts))
        with warnings.catch_warnings():
            # What was not scored is a verdict here.
            warnings.simplefilter("ignore", RewardWarning)
            table = self.rewards.score(
                prompts=[self.task.messages(problem)] * len(texts),
                completions=as_messages(texts),
                completion_ids=[list(self.encode(text)) for text in texts],
                columns=columns,
                step=self.calls,
                timeout=self.timeout,
                should_stop=self.should_stop,
            )
        values: list[float] = table.rewards_BK[:, 0].tolist()
        return values


def _why(error: RewardError) -> str:
    """What the function itself raised; else what is said of it."""
    cause = error.__cause__
    return str(error) if cause is None else f"{type(cause).__name__}: {cause}"


def _scored(value: float) -> Scored:
    return Scored(None if np.isnan(value) else value)
