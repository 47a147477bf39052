"""What a step-reward function is, and what it must answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from workbench.errors import WorkbenchError

Step = tuple[int, float | None]
"""Where a step ends, in characters from the start of the completion's text (the first character
behind it), and its reward; None: not scored."""


class StepRewardError(WorkbenchError, ValueError):
    """Step rewards that cannot be used: names the completion and the step. `row` is that
    completion; None where it is the whole answer that does not fit."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class StepRewardFunction(Protocol):
    """Scores the steps of completions. Each list goes from the first step to the last."""

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[list[Step]]: ...


def checked_steps(steps: Any, texts: Sequence[str]) -> list[list[Step]]:
    """The answer of a step-reward function for completions of these texts, each number made a plain
    one. Raises `StepRewardError`."""
    if not isinstance(steps, Sequence) or isinstance(steps, str) or len(steps) != len(texts):
        raise StepRewardError(
            f"step rewards must be a list with one entry for each of the {len(texts)} completions, "
            f"got {steps!r:.200}. Return [] for a completion without steps."
        )
    pairs = zip(steps, texts, strict=True)
    return [_of_one(row, given, text) for row, (given, text) in enumerate(pairs)]


def _of_one(row: int, given: Any, text: str) -> list[Step]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise StepRewardError(
            f"the steps of completion {row} are {given!r:.200}: expected a list of "
            "(end_character, reward), [] for a completion without steps.",
            row,
        )
    before = 0
    found: list[Step] = []
    for number, step in enumerate(given):
        place = f"step {number} of completion {row}"
        try:
            end, reward = step
            end_character = int(end)
            value = None if reward is None else float(reward)
        except (TypeError, ValueError) as error:
            raise StepRewardError(
                f"{place} is {step!r:.200}: expected (end_character, reward), the reward a number "
                "or None.",
                row,
            ) from error
        if not before < end_character <= len(text):
            raise StepRewardError(
                f"{place} ends at character {end_character}: it must end behind character "
                f"{before}, where the step before it ends, and no later than the text, which has "
                f"{len(text)}.",
                row,
            )
        if value is not None and not math.isfinite(value):
            raise StepRewardError(
                f"{place} has the reward {value}: it must be finite, or None for 'not scored'.",
                row,
            )
        before = end_character
        found.append((end_character, value))
    return found
