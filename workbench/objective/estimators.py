"""Advantages that are not a reward minus a baseline over a std: MaxRL and pass@k.

Both take the summed rewards of whole groups, leave what nothing scored out, and give exactly 0 to a
group in which nothing is compared.
Suffixes: N groups, G completions of a group, 1 one number for each group.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config.advantages import ESTIMATORS
from workbench.objective.masked import masked_mean, no_spread


@dataclass(frozen=True)
class Estimate:
    """What an estimator makes of the rewards of N groups."""

    advantage_NG: Tensor
    """0 where nothing is compared."""

    centred_NG: Tensor
    """The same before it was divided."""

    dead_N1: Tensor
    """bool, True where what was compared in the group has no spread."""


def maxrl(total_NG: Tensor, scored_NG: Tensor, k: int) -> Estimate:
    """(R - mean) / mean of the group: MaxRL (arXiv 2602.02710), with the mean as control variate.

    For rewards of 0 and 1 the expected update is that of sum over j < G of pass@j / j, the first
    G - 1 terms of the logarithm of the success probability; G terms need a group without a success
    to be pushed as well, which has nothing to be divided by. Raises ValueError for a negative
    reward, with which the mean says nothing of success. `k` plays no part.
    """
    _check_least("maxrl", total_NG, scored_NG)
    dead_N1 = no_spread(total_NG, scored_NG)
    mean_N1 = masked_mean(total_NG, scored_NG, 1)
    centred_NG = torch.where(scored_NG & ~dead_N1, total_NG - mean_N1, 0.0)
    # A group that is alive has a reward above 0, and so a mean above 0.
    divisor_N1 = torch.where(dead_N1, 1.0, mean_N1)
    return Estimate(centred_NG / divisor_N1, centred_NG, dead_N1)


def pass_at_k(total_NG: Tensor, scored_NG: Tensor, k: int) -> Estimate:
    """(best of k with this completion - best of any k) / std of the best of any k: Pass@k Training
    (arXiv 2508.10751) eq. 14 and 15, over all subsets of k, without drawing one.

    The paper's rewards are 0 and 1: the best of k is then pass@k, its std sqrt(p (1 - p)). Graded
    rewards work the same way here. A group of which every k hold an equal best (fewer than k
    failures, say) compares nothing, and so does one with fewer than k scores.
    """
    columns = [
        _best_of_subsets(total_G[scored_G], k)
        for total_G, scored_G in zip(total_NG, scored_NG, strict=True)
    ]
    centred_NG = torch.zeros_like(total_NG)
    std_N1 = total_NG.new_zeros(len(total_NG), 1)
    for group, (centred_S, std) in enumerate(columns):
        centred_NG[group, scored_NG[group]] = centred_S
        std_N1[group] = std
    dead_N1 = std_N1 == 0
    return Estimate(centred_NG / torch.where(dead_N1, 1.0, std_N1), centred_NG, dead_N1)


def _best_of_subsets(reward_S: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Of all subsets of k of these S rewards: the mean best of those that hold each one, less the
    mean best of all, (S,), and the std of the best, 0-d."""
    size = len(reward_S)
    if size <= k or reward_S.amax() <= reward_S.kthvalue(k).values:
        # The worst subset there is has the same best as all others.
        return torch.zeros_like(reward_S), reward_S.new_zeros(())
    sorted_S, order_S = reward_S.sort()
    # The best of a subset is the reward of its highest rank; the other k - 1 lie below it.
    share_S = _shares([math.comb(rank, k - 1) for rank in range(size)], size, k, reward_S)
    mean = (share_S * sorted_S).sum()
    std = (share_S * (sorted_S - mean) ** 2).sum().sqrt()
    # With one of its members known: it is the best itself, or one of a higher rank is, and k - 2
    # others lie below that.
    below_S = _shares([math.comb(rank, k - 1) for rank in range(size)], size - 1, k - 1, reward_S)
    above_S = _shares(
        [math.comb(rank - 1, k - 2) if rank and k > 1 else 0 for rank in range(size)],
        size - 1,
        k - 1,
        reward_S,
    )
    higher_S = (above_S * sorted_S).flip(0).cumsum(0).flip(0) - above_S * sorted_S
    with_one_S = below_S * sorted_S + higher_S
    centred_S = torch.empty_like(reward_S)
    centred_S[order_S] = with_one_S - mean
    return centred_S, std


def _shares(counts: list[int], size: int, k: int, like: Tensor) -> Tensor:
    """Numbers of subsets as shares of all `size` over `k`; divided as whole numbers, which grow
    beyond any float."""
    every = math.comb(size, k)
    return like.new_tensor([count / every for count in counts])


def _check_least(name: str, total_NG: Tensor, scored_NG: Tensor) -> None:
    """Raises ValueError for a reward below what the estimator makes sense for."""
    least = ESTIMATORS[name].least_reward
    if least is None:
        return
    wrong_NG = scored_NG & (total_NG < least)
    if wrong_NG.any():
        group, row = wrong_NG.nonzero()[0].tolist()
        raise ValueError(
            f"advantage_estimator={name!r} got the reward {total_NG[group, row].item():g} for "
            f"completion {row} of group {group}: rewards must be {least:g} or more there. Shift "
            "or clip the reward, or set advantage_estimator='baseline'."
        )


OWN_ESTIMATORS: dict[str, Callable[[Tensor, Tensor, int], Estimate]] = {
    "maxrl": maxrl,
    "pass_at_k": pass_at_k,
}
"""advantage_estimator -> (summed rewards, which were scored, k) -> advantages, for those that use
no baseline of `BASELINES`."""
