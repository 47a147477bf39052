"""A punishment for saying the same again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.rewards.parameters import WithParameters, check


@dataclass(frozen=True)
class Repetition(WithParameters):
    """`max_penalty` times the share of token n-grams that stood in the completion before.

    Source: "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373), appendix C.2; TRL's
    `get_repetition_penalty_reward`. The paper's penalty falls on the repeated tokens, this one on
    the whole completion. Hackable: shorter than an n-gram, or the same said in other words, costs
    nothing; and an honest calculation repeats itself more than an empty answer does.
    """

    kind: ClassVar[str] = "repetition"

    ngram_size: int = 3
    """Tokens."""

    max_penalty: float = -1.0
    """What a completion of nothing but repetition comes near to; 0 or less."""

    def __post_init__(self) -> None:
        check(self.ngram_size >= 1, self, "ngram_size", "1 or more")
        is_penalty = math.isfinite(self.max_penalty) and self.max_penalty <= 0
        check(is_penalty, self, "max_penalty", "a finite number, 0 or less")

    def __call__(self, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [self._penalty(ids) for ids in completion_ids]

    def _penalty(self, ids: Sequence[int]) -> float:
        count = len(ids) - self.ngram_size + 1
        if count < 1:
            return 0.0
        different = {tuple(ids[i : i + self.ngram_size]) for i in range(count)}
        repeated = 1 - len(different) / count
        # Not -0.0, which a table would show.
        return repeated * self.max_penalty if repeated else 0.0
