"""Which of the ways in `passes` some completions take through the model, and what it computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from workbench.policy import apart
from workbench.policy.packing import can_pack
from workbench.policy.passes import Pass, in_one_row, packed, row_by_row
from workbench.rollout.types import Rollout

Way = Literal["in_one_row", "packed", "row_by_row"]


def way_of(model: Any, rollout: Rollout, rows: Tensor) -> Way:
    """The cheapest of the ways that the model allows for these completions."""
    if apart.pays(model, rollout, rows):
        return "in_one_row"
    return "packed" if can_pack(model, rollout, rows) else "row_by_row"


def pass_of(model: Any, rollout: Rollout, rows: Tensor) -> Pass:
    """What to give the model for these completions."""
    way = way_of(model, rollout, rows)
    if way == "in_one_row":
        return in_one_row(model, rollout, rows)
    if way == "packed":
        return packed(model, rollout, rows)
    return row_by_row(rollout, rows)


def computed_tokens(model: Any, rollout: Rollout, rows: Tensor) -> int:
    """Tokens that go through the layers for these completions: prompts as often as they are
    computed, and padding."""
    if len(rows) == 0:
        return 0
    prompts_N, of_R = (rows // rollout.num_generations).unique(return_inverse=True)
    prompt_length_N = rollout.prompt_mask_NP[prompts_N].sum(1)
    length_R = rollout.mask_BT[rows].sum(1)
    way = way_of(model, rollout, rows)
    if way == "row_by_row":
        return len(rows) * int(prompt_length_N.max() + length_R.max().clamp(min=1))
    family_N = prompt_length_N.index_add(0, of_R, length_R)
    return int(family_N.sum() if way == "in_one_row" else len(family_N) * family_N.max())


def on_cpu(rollout: Rollout) -> Rollout:
    """The same rollout there, where asking for lengths again and again waits for no GPU."""
    if rollout.mask_BT.device.type == "cpu":
        return rollout
    tensors = {name: v.cpu() for name, v in vars(rollout).items() if isinstance(v, Tensor)}
    return replace(rollout, **tensors)
