"""Where the rows of a rollout stand when they are laid out prompt by prompt.

Attention over keys that a prompt's completions share wants them side by side: N prompts with W
places each. A row that has finished leaves its place empty until so many are that the rest is laid
out anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOVE_BELOW = 0.75
"""Rows move together when the places that they need are fewer than this part of those there are.
An empty place costs attention alone, moving copies keys and values of the rows that go on."""


@dataclass(frozen=True)
class Places:
    """Row i of the R rows stands at place `place_R[i]` of N x W = S."""

    prompts: int
    """N."""
    width: int
    """W."""
    place_R: Tensor
    row_S: Tensor | None
    """The row at each place. An empty place repeats the first row: what is computed there is
    thrown away. None where every place has its row, in order."""

    @property
    def count(self) -> int:
        """S, all places."""
        return self.prompts * self.width

    def without(self, rows: Tensor) -> Places:
        """These rows alone, each where it stood."""
        return _places(self.prompts, self.width, self.place_R[rows])

    def spread(self, values_R: Tensor) -> Tensor:
        """What belongs to the rows, (R, ...), at their places, (S, ...)."""
        return values_R if self.row_S is None else values_R.index_select(0, self.row_S)

    def gather(self, values_S: Tensor) -> Tensor:
        """The other way round."""
        return values_S if self.row_S is None else values_S.index_select(0, self.place_R)


def side_by_side(prompt_R: Tensor) -> tuple[Tensor, Places]:
    """The prompts that have rows, ascending, and as few places as hold these rows, in their
    order."""
    prompts_N, which_R, count_N = prompt_R.unique(return_inverse=True, return_counts=True)
    width = int(count_N.max())
    # The rows of a prompt need not stand together: ranked by a sort that keeps their order.
    order = which_R.argsort(stable=True)
    first_N = count_N.cumsum(0) - count_N
    rank_R = torch.empty_like(which_R)
    rank_R[order] = torch.arange(len(which_R), device=which_R.device) - first_N[which_R[order]]
    return prompts_N, _places(len(prompts_N), width, which_R * width + rank_R)


def _places(prompts: int, width: int, place_R: Tensor) -> Places:
    count = prompts * width
    row_S = place_R.new_zeros(count)
    row_S[place_R] = torch.arange(len(place_R), device=place_R.device)
    in_order = len(place_R) == count and bool((row_S[1:] > row_S[:-1]).all())
    return Places(prompts, width, place_R, None if in_order else row_S)
