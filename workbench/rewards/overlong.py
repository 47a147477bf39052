"""A punishment for answers that come near the longest length: DAPO's soft overlong punishment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.rewards.parameters import WithParameters, check


@dataclass(frozen=True)
class SoftOverlong(WithParameters):
    """0 up to `max_completion_len - soft_punish_cache` tokens, from there down in a straight line
    to -1 at `max_completion_len`, and -1 beyond.

    Source: DAPO (arXiv 2503.14476), equation 13; TRL's `get_soft_overlong_punishment`. It is meant
    beside a reward for the answer. A completion that is cut off at `max_completion_length` has just
    that many tokens: give the same number here, or more is never reached. Hackable: nothing is
    asked of the answer, and an empty one is never punished.
    """

    kind: ClassVar[str] = "soft_overlong"

    max_completion_len: int
    """L_max, tokens."""

    soft_punish_cache: int
    """L_cache, tokens: how long before the end the punishment begins; 0 = at the end alone."""

    def __post_init__(self) -> None:
        check(self.max_completion_len > 0, self, "max_completion_len", "1 or more")
        check(
            0 <= self.soft_punish_cache <= self.max_completion_len,
            self,
            "soft_punish_cache",
            f"0 to max_completion_len={self.max_completion_len}",
        )

    def __call__(self, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [self._punishment(len(ids)) for ids in completion_ids]

    def _punishment(self, length: int) -> float:
        free = self.max_completion_len - self.soft_punish_cache
        if length <= free:
            return 0.0
        if length > self.max_completion_len:
            return -1.0
        return (free - length) / self.soft_punish_cache
