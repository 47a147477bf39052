"""Which of the ways in `passes` some completions take through a model, and what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from workbench.policy import apart, packing
from workbench.policy.passes import Pass, in_one_row, packed, row_by_row
from workbench.rollout.types import Lengths, Rollout

Way = Literal["in_one_row", "packed", "row_by_row"]


class Ways:
    """Those that a model allows. What it allows is asked once, and only where it matters."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @cached_property
    def shares_prompts(self) -> bool:
        """Whether completions can share their prompt's row."""
        return packing.reason_against(self.model) is None

    @cached_property
    def needs_no_mask(self) -> bool:
        """Whether its attention can be taken apart."""
        return apart.reason_against(self.model) is None

    def way_of(self, lengths: Lengths, rows: Sequence[int]) -> Way:
        """The cheapest way for these completions: without a mask where that would be large, with
        one where several share a prompt and their row stays short enough to gain by it."""
        families = lengths.families(rows)
        most = max((len(completions) for _, completions in families), default=0)
        longest_row = longest_packed_row(families)
        if longest_row > apart.MASK_UP_TO and self.needs_no_mask:
            return "in_one_row"
        if most > 1 and longest_row <= packing.LONGEST_ROW and self.shares_prompts:
            return "packed"
        return "row_by_row"

    def computed_tokens(self, lengths: Lengths, rows: Sequence[int]) -> int:
        """Tokens that go through the layers for these completions: prompts as often as they are
        computed, and padding."""
        families = lengths.families(rows)
        way = self.way_of(lengths, rows)
        if way == "row_by_row":
            longest = max(max(completions) for _, completions in families)
            return len(rows) * (max(prompt for prompt, _ in families) + max(longest, 1))
        each = [prompt + sum(completions) for prompt, completions in families]
        return sum(each) if way == "in_one_row" else len(each) * max(each)


def longest_packed_row(families: Sequence[tuple[int, list[int]]]) -> int:
    """No row of a prompt and its completions has more tokens: a bound, as if every completion were
    as long as the longest. 0 for none."""
    if not families:
        return 0
    longest = max(max(completions) for _, completions in families)
    most = max(len(completions) for _, completions in families)
    return max(prompt for prompt, _ in families) + most * longest


def pass_of(model: Any, rollout: Rollout, rows: Tensor) -> Pass:
    """What to give the model for these completions."""
    way = Ways(model).way_of(rollout.lengths, rows.tolist())
    if way == "in_one_row":
        return in_one_row(model, rollout, rows)
    if way == "packed":
        return packed(model, rollout, rows)
    return row_by_row(rollout, rows)
