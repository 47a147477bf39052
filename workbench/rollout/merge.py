"""A rollout with some of its prompts in exchange for those of another one.

Suffixes: N prompts, P prompt tokens padded on the left, B completions, T tokens padded on the
right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from workbench.rollout.types import Rollout


def with_prompts_replaced(
    rollout: Rollout, places: Sequence[int], other: Rollout, chosen: Sequence[int]
) -> Rollout:
    """`rollout` with the prompts `chosen` of `other` at `places`, their completions with them, as
    wide as the longest needs. Raises ValueError for another group size."""
    group_size = rollout.num_generations
    if other.num_generations != group_size:
        raise ValueError(
            f"a rollout with groups of {group_size} cannot take groups of {other.num_generations}."
        )
    columns = {
        f.name: _columns(getattr(rollout, f.name), getattr(other, f.name), f.name)
        for f in fields(rollout)
        if f.name != "num_generations"
    }
    merged: dict[str, Any] = {
        name: _exchanged(own, _rows(places, name, group_size), new, _rows(chosen, name, group_size))
        for name, (own, new) in columns.items()
    }
    return replace(rollout, **merged)


def _rows(groups: Sequence[int], name: str, group_size: int) -> Tensor:
    """The rows of these groups in a tensor of that name: one for each prompt, or for each
    completion."""
    group_N = torch.as_tensor(list(groups), dtype=torch.long)
    if name.endswith("_NP"):
        return group_N
    return (group_N[:, None] * group_size + torch.arange(group_size)).flatten()


def _exchanged(own: Tensor, rows: Tensor, new: Tensor, new_rows: Tensor) -> Tensor:
    result = own.clone()
    result[rows.to(own.device)] = new[new_rows.to(new.device)].to(own.device)
    return result


def _columns(own: Tensor, new: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both as wide as the wider one; padded with 0, which the masks hide."""
    if own.dim() == 1:
        return own, new
    width = max(own.shape[1], new.shape[1])
    left = name.endswith("_NP")
    return _padded(own, width, left), _padded(new, width, left)


def _padded(values: Tensor, width: int, left: bool) -> Tensor:
    missing = width - values.shape[1]
    sides = (missing, 0) if left else (0, missing)
    return torch.nn.functional.pad(values, sides)
