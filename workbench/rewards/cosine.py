"""A reward for the answer that depends on its length by a cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.rewards.batch import RewardFunction
from workbench.rewards.parameters import check
from workbench.rewards.verdicts import AsksAnother


@dataclass(frozen=True)
class CosineScaled(AsksAnother):
    """A right answer is worth the more the shorter it is, a wrong one costs the less the longer it
    is: from one value at no tokens to another at `max_len`, by half a period of the cosine.

    Source: "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373), appendix C.1; TRL's
    `get_cosine_scaled_reward`, with our judgement of answers in place of its own. Beyond `max_len`
    it stays at the value there, as in TRL; the paper has a penalty of its own for that. Hackable:
    where a wrong answer seems likely, length pays in itself (the paper saw repetition, and added a
    penalty for it); where a right one does, skipping the thought pays.
    """

    kind: ClassVar[str] = "cosine_scaled"

    max_len: int
    """Tokens at which the cosine ends."""

    min_value_wrong: float = -1.0
    """Of the shortest wrong completion."""

    max_value_wrong: float = -0.5
    """Of the longest wrong completion."""

    min_value_correct: float = 0.5
    """Of the longest right completion."""

    max_value_correct: float = 1.0
    """Of the shortest right completion."""

    reward: RewardFunction | str = "answer"
    """Says 1 or 0: which answers are right."""

    def __post_init__(self) -> None:
        check(self.max_len > 0, self, "max_len", "1 or more")
        for name in ("wrong", "correct"):
            low = getattr(self, f"min_value_{name}")
            high = getattr(self, f"max_value_{name}")
            check(math.isfinite(low), self, f"min_value_{name}", "a finite number")
            is_above = math.isfinite(high) and high >= low
            check(is_above, self, f"max_value_{name}", f"a finite number from {low:g} on")
        super().__post_init__()

    def __call__(self, completion_ids: Sequence[Sequence[int]], **given: Any) -> list[float | None]:
        given["completion_ids"] = completion_ids
        right = self.right(**given)
        return [
            None if is_right is None else self._value(is_right, len(ids))
            for is_right, ids in zip(right, completion_ids, strict=True)
        ]

    def _value(self, is_right: bool, length: int) -> float:
        at_none = self.max_value_correct if is_right else self.min_value_wrong
        at_longest = self.min_value_correct if is_right else self.max_value_wrong
        progress = min(length / self.max_len, 1.0)
        return at_longest + (at_none - at_longest) * (1 + math.cos(math.pi * progress)) / 2
