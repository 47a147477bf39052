"""What is subtracted from a reward: the third table, one function for each `advantage_baseline`.

Suffixes: N groups, G completions of a group, K reward functions. NaN is a score that is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.objective.masked import masked_mean

GROUP_BASELINES = ("group", "leave_one_out")
"""The baselines that compare a completion with its own group, so that a dead group gets exactly
0."""


def fill_missing(reward_NGK: Tensor) -> Tensor:
    """Each missing score replaced by the function's mean in the group, else in the batch, else by
    0."""
    scored_NGK = ~reward_NGK.isnan()
    group_mean_N1K = masked_mean(reward_NGK, scored_NGK, 1)
    batch_mean_11K = masked_mean(reward_NGK, scored_NGK, (0, 1)).nan_to_num(nan=0.0)
    stand_in_N1K = torch.where(group_mean_N1K.isnan(), batch_mean_11K, group_mean_N1K)
    return torch.where(scored_NGK, reward_NGK, stand_in_N1K)


def minus_group_mean(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    """R - mean of the group's scores; 0 where the score is missing."""
    scored_NGK = ~reward_NGK.isnan()
    centred_NGK = filled_NGK - masked_mean(reward_NGK, scored_NGK, 1)
    return torch.where(scored_NGK, centred_NGK, 0.0)


def minus_mean_of_others(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    """R_i - mean of the other n - 1 scores = n / (n - 1) x (R_i - mean of all n); 0 where there is
    no other."""
    count_N1K = (~reward_NGK.isnan()).sum(1, keepdim=True)
    return minus_group_mean(reward_NGK, filled_NGK) * count_N1K / (count_N1K - 1).clamp(min=1)


def minus_batch_mean(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    """R - mean of all completions that something scored, missing scores filled in."""
    scored_NG1 = ~reward_NGK.isnan().all(2, keepdim=True)
    return filled_NGK - masked_mean(filled_NGK, scored_NG1.expand_as(filled_NGK), (0, 1))


def minus_nothing(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    """R itself."""
    return filled_NGK


BASELINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "group": minus_group_mean,
    "leave_one_out": minus_mean_of_others,
    "batch": minus_batch_mean,
    "none": minus_nothing,
}
"""advantage_baseline -> (scores, scores filled in) -> what is left of them, function by
function."""
