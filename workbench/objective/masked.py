"""Mean, std and spread over the entries that count, the others being left out.

Suffixes: N groups, G completions of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, counted: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Mean over the counted entries, dims kept, NaN where there are none."""
    # As distances to the least entry: the mean of equal entries is that entry to the bit, so dead
    # groups stay dead.
    least = torch.where(counted, values, torch.inf).amin(dim, keepdim=True)
    distance = torch.where(counted, values - least, 0.0).sum(dim, keepdim=True)
    count = counted.sum(dim, keepdim=True)
    return torch.where(least.isinf(), torch.nan, least + distance / count)


def masked_std(
    values: Tensor, counted: Tensor, dim: int | tuple[int, ...], correction: int
) -> Tensor:
    """Std over the counted entries, dims kept; 0 where there are fewer than two.

    The squares are divided by their number less `correction`.
    """
    count = counted.sum(dim, keepdim=True)
    square = (values - masked_mean(values, counted, dim)) ** 2
    sum_of_squares = torch.where(counted, square, 0.0).sum(dim, keepdim=True)
    std = (sum_of_squares / (count - correction).clamp(min=1)).sqrt()
    return torch.where(count < 2, 0.0, std)


def no_spread(values_NG: Tensor, counted_NG: Tensor) -> Tensor:
    """(N, 1), True where the counted entries of a group are all equal, or where there are none."""
    most_N1 = torch.where(counted_NG, values_NG, -torch.inf).amax(1, keepdim=True)
    least_N1 = torch.where(counted_NG, values_NG, torch.inf).amin(1, keepdim=True)
    return most_N1 <= least_N1
