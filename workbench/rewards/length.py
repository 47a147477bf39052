"""A reward for the shorter ones of a group."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.rewards.batch import RewardFunction
from workbench.rewards.verdicts import AsksAnother


@dataclass(frozen=True)
class Length(AsksAnother):
    """Within the completions of one prompt, from +1/2 for the shortest to -1/2 for the longest; a
    wrong one gets that or 0, whichever is less. All 0 where all are of one length.

    Source: Kimi k1.5 (arXiv 2501.12599), section 2.3.3, whose weight is `reward_weights` here.
    Lengths are in tokens. Meant beside a reward for the answer. Hackable: it pays for leaving the
    thought out as much as for thinking briefly, and a wrong answer can only lose by being long, so
    that a policy which seldom is right learns to say little.
    """

    kind: ClassVar[str] = "length"

    reward: RewardFunction | str = "answer"
    """Says 1 or 0: which answers are right."""

    def __call__(
        self, prompts: Sequence[Any], completion_ids: Sequence[Sequence[int]], **given: Any
    ) -> list[float | None]:
        given |= {"prompts": prompts, "completion_ids": completion_ids}
        right = self.right(**given)
        lengths_by_prompt: dict[str, list[int]] = defaultdict(list)
        keys = [json.dumps(prompt, sort_keys=True, default=repr) for prompt in prompts]
        for key, ids in zip(keys, completion_ids, strict=True):
            lengths_by_prompt[key].append(len(ids))
        return [
            None if is_right is None else _value(is_right, len(ids), lengths_by_prompt[key])
            for is_right, ids, key in zip(right, completion_ids, keys, strict=True)
        ]


def _value(is_right: bool, length: int, lengths: Sequence[int]) -> float:
    shortest = min(lengths)
    longest = max(lengths)
    if shortest == longest:
        return 0.0
    value = 0.5 - (length - shortest) / (longest - shortest)
    return value if is_right else min(0.0, value)
