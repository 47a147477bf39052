"""Advantages: what the rewards of a group of completions say about each of them.

Sources: group-relative advantages and the std over the group, DeepSeekMath (arXiv 2402.03300)
section 4.1.2; no division by the std, Dr. GRPO (arXiv 2503.20783); leave-one-out baseline, RLOO
(arXiv 2402.14740); batch baseline, REINFORCE++ (arXiv 2501.03262); one normalisation per reward
function, GDPO (arXiv 2601.05242). All-scored rewards give TRL 1.16's numbers for the baseline
"group" and the std "sample".

Deviations from TRL: (1) a group without spread is found by max - min == 0 and gets exactly 0,
however its mean rounds; (2) a score that is missing (NaN) does not count as 0: it is replaced by
what that function gave on average in the same group, so that the completion is neither punished nor
praised by a function which did not score it. (TRL also holds the n / (n - 1) of its std in float32:
its advantages differ from these in the eighth digit.)

Suffixes: B completions, N groups (prompts), G completions of a group, K reward functions; B = N x
G, row i is in group i // G.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

EPS = 1e-4
"""Added to every std before it divides, as in TRL."""

Weights = Tensor | Sequence[float] | None


@dataclass(frozen=True)
class GroupStatistics:
    """The weighted rewards of each group in figures.

    mean_N, std_N   NaN and 0 where nothing was scored
    dead_N          bool, True where the rewards have no spread
    scored_N        completions that at least one function scored
    """

    mean_N: Tensor
    std_N: Tensor
    dead_N: Tensor
    scored_N: Tensor


def group_advantages(
    rewards: Tensor,
    num_generations: int,
    *,
    scale_rewards: str = "group",
    weights: Weights = None,
    baseline: str = "group",
    aggregation: str = "sum_then_normalize",
    std: str = "sample",
) -> Tensor:
    """The advantage of each completion, (B,), in the rewards' own dtype.

    `rewards` is (B,) or (B, K); NaN = not scored by that function. `weights` has K numbers (None =
    1 each). sum_then_normalize: the weighted sum of the scores minus the baseline, over a std:
        baseline       "group": the group's mean; "leave_one_out": the mean of the others in the group; "batch": the
                       batch's mean; "none": 0.
        scale_rewards  "group": the group's std + 1e-4; "batch": the batch's std + 1e-4; "none": 1.
    normalize_then_sum (GDPO): each function alone minus its baseline, over its group std + 1e-4;
    the weighted sum of those is then whitened over the batch (minus mean, over std + 1e-4).
    `scale_rewards` plays no part there, as in TRL. std: "sample" divides by n - 1 (TRL, GDPO),
    "population" by n (the DeepSeekMath paper).

    A dead group (all aggregated rewards equal) gets exactly 0 with the baselines "group" and
    "leave_one_out"; with the other two it has no std to be divided by and is left unscaled. A
    completion that no function scored gets 0 and is left out of every statistic. A completion that
    some functions scored is compared with its group on those alone. Raises ValueError for shapes,
    weights and names that do not fit, and for infinite rewards.
    """
    _check_choice("scale_rewards", scale_rewards, ("group", "batch", "none"))
    _check_choice("baseline", baseline, tuple(_BASELINES))
    _check_choice("aggregation", aggregation, ("sum_then_normalize", "normalize_then_sum"))
    correction = _std_correction(std)
    reward_NGK, weight_K = _grouped(rewards, num_generations, weights)
    if num_generations < 2 and baseline in ("group", "leave_one_out"):
        raise ValueError(
            f"num_generations={num_generations} with baseline={baseline!r}: a group of one has nothing to be "
            "compared with. Use 2 or more, or baseline='batch' or 'none'."
        )
    if aggregation == "normalize_then_sum":
        advantage_NG = _normalize_then_sum(reward_NGK, weight_K, baseline, correction)
    else:
        advantage_NG = _normalized(reward_NGK, weight_K, scale_rewards, baseline, correction)
    return advantage_NG.flatten()


def total_rewards(rewards: Tensor, weights: Weights = None) -> Tensor:
    """The weighted sum of the scores of each completion, (B,). A missing score (NaN) adds
    nothing."""
    reward_NGK, weight_K = _grouped(rewards, 1, weights)
    return (reward_NGK[:, 0] * weight_K).nansum(1)


def group_statistics(
    rewards: Tensor, num_generations: int, weights: Weights = None, *, std: str = "sample"
) -> GroupStatistics:
    """Mean, std and deadness of the weighted reward of each group, missing scores filled in as for
    the advantages."""
    reward_NGK, weight_K = _grouped(rewards, num_generations, weights)
    total_NG = _weighted_sum(_fill_missing(reward_NGK), weight_K)
    scored_NG = ~reward_NGK.isnan().all(2)
    return GroupStatistics(
        mean_N=_mean(total_NG, scored_NG, 1)[:, 0],
        std_N=_std(total_NG, scored_NG, 1, _std_correction(std))[:, 0],
        dead_N=_no_spread(total_NG, scored_NG)[:, 0],
        scored_N=scored_NG.sum(1),
    )


def _normalized(
    reward_NGK: Tensor, weight_K: Tensor, scale: str, baseline: str, correction: int
) -> Tensor:
    """Advantages of the weighted sum of the scores, (N, G)."""
    scored_NG = ~reward_NGK.isnan().all(2)
    filled_NGK = _fill_missing(reward_NGK)
    total_NG = _weighted_sum(filled_NGK, weight_K)
    centred_NG = _weighted_sum(_BASELINES[baseline](reward_NGK, filled_NGK), weight_K)
    dead_N1 = _no_spread(total_NG, scored_NG)
    if scale == "group":
        divisor = torch.where(dead_N1, 1.0, _std(total_NG, scored_NG, 1, correction) + EPS)
    elif scale == "batch":
        divisor = _std(total_NG, scored_NG, (0, 1), correction) + EPS
    else:
        divisor = torch.ones_like(total_NG)
    silent_NG = ~scored_NG | dead_N1 if baseline in ("group", "leave_one_out") else ~scored_NG
    return torch.where(silent_NG, 0.0, centred_NG / divisor)


def _normalize_then_sum(
    reward_NGK: Tensor, weight_K: Tensor, baseline: str, correction: int
) -> Tensor:
    """GDPO's advantages, (N, G)."""
    one = weight_K.new_ones(1)
    each_NGK = torch.stack(
        [
            _normalized(r.unsqueeze(2), one, "group", baseline, correction)
            for r in reward_NGK.unbind(2)
        ],
        2,
    )
    sum_NG = _weighted_sum(each_NGK, weight_K)
    scored_NG = ~reward_NGK.isnan().all(2)
    white_NG = (sum_NG - _mean(sum_NG, scored_NG, (0, 1))) / (
        _std(sum_NG, scored_NG, (0, 1), correction) + EPS
    )
    silent_NG = ~scored_NG
    if baseline in ("group", "leave_one_out"):
        silent_NG = silent_NG | _no_spread(sum_NG, scored_NG)
    return torch.where(silent_NG, 0.0, white_NG)


def _weighted_sum(x_NGK: Tensor, weight_K: Tensor) -> Tensor:
    """Sum over the functions one by one: equal rows give equal bits, which a matrix product does
    not promise."""
    return reduce(torch.add, [x * w for x, w in zip(x_NGK.unbind(2), weight_K, strict=True)])


def _fill_missing(reward_NGK: Tensor) -> Tensor:
    """Each missing score replaced by the function's mean in the group, else in the batch, else by
    0."""
    scored_NGK = ~reward_NGK.isnan()
    group_mean = _mean(reward_NGK, scored_NGK, 1)
    batch_mean = _mean(reward_NGK, scored_NGK, (0, 1)).nan_to_num(nan=0.0)
    stand_in = torch.where(group_mean.isnan(), batch_mean, group_mean)
    return torch.where(scored_NGK, reward_NGK, stand_in)


def _minus_group_mean(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    scored_NGK = ~reward_NGK.isnan()
    return torch.where(scored_NGK, filled_NGK - _mean(reward_NGK, scored_NGK, 1), 0.0)


def _minus_mean_of_others(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    """R_i - mean of the other n - 1 scores = n / (n - 1) x (R_i - mean of all n); 0 where there is
    no other."""
    n = (~reward_NGK.isnan()).sum(1, keepdim=True)
    return _minus_group_mean(reward_NGK, filled_NGK) * n / (n - 1).clamp(min=1)


def _minus_batch_mean(reward_NGK: Tensor, filled_NGK: Tensor) -> Tensor:
    scored_NG1 = ~reward_NGK.isnan().all(2, keepdim=True)
    return filled_NGK - _mean(filled_NGK, scored_NG1.expand_as(filled_NGK), (0, 1))


_BASELINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "group": _minus_group_mean,
    "leave_one_out": _minus_mean_of_others,
    "batch": _minus_batch_mean,
    "none": lambda reward_NGK, filled_NGK: filled_NGK,
}


def _mean(x: Tensor, counted: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Mean over the counted entries, dims kept, NaN where there are none."""
    # As distances to the least entry: the mean of equal entries is that entry to the bit, so dead
    # groups stay dead.
    least = torch.where(counted, x, torch.inf).amin(dim, keepdim=True)
    distance = torch.where(counted, x - least, 0.0).sum(dim, keepdim=True)
    return torch.where(least.isinf(), torch.nan, least + distance / counted.sum(dim, keepdim=True))


def _std(x: Tensor, counted: Tensor, dim: int | tuple[int, ...], correction: int) -> Tensor:
    """Std over the counted entries, dims kept; 0 where there are fewer than two."""
    n = counted.sum(dim, keepdim=True)
    square = torch.where(counted, (x - _mean(x, counted, dim)) ** 2, 0.0).sum(dim, keepdim=True)
    return torch.where(n < 2, 0.0, (square / (n - correction).clamp(min=1)).sqrt())


def _no_spread(x_NG: Tensor, counted_NG: Tensor) -> Tensor:
    """(N, 1), True where the counted entries of a group are all equal, or where there are none."""
    most = torch.where(counted_NG, x_NG, -torch.inf).amax(1, keepdim=True)
    least = torch.where(counted_NG, x_NG, torch.inf).amin(1, keepdim=True)
    return most <= least


def _grouped(rewards: Tensor, num_generations: int, weights: Weights) -> tuple[Tensor, Tensor]:
    """Checked rewards (N, G, K) and weights (K,)."""
    if rewards.dim() not in (1, 2) or rewards.numel() == 0:
        raise ValueError(
            f"rewards must be (B,) or (B, K) and not empty, got shape {tuple(rewards.shape)}."
        )
    reward_BK = rewards.detach().reshape(len(rewards), -1)
    if not reward_BK.is_floating_point():
        reward_BK = reward_BK.to(torch.get_default_dtype())
    if num_generations < 1 or len(reward_BK) % num_generations:
        raise ValueError(
            f"{len(reward_BK)} rewards cannot be split into groups of num_generations={num_generations}: the number "
            "of completions must be a multiple of it, the completions of one prompt side by side."
        )
    if reward_BK.isinf().any():
        row, column = reward_BK.isinf().nonzero()[0].tolist()
        raise ValueError(
            f"the reward of completion {row} by function {column} is {reward_BK[row, column].item()}: rewards must be "
            "finite, or NaN for 'not scored'. Bound that reward function."
        )
    return reward_BK.unflatten(0, (-1, num_generations)), _checked_weights(weights, reward_BK)


def _checked_weights(weights: Weights, reward_BK: Tensor) -> Tensor:
    if weights is None:
        return reward_BK.new_ones(reward_BK.shape[1])
    weight_K = torch.as_tensor(weights, dtype=reward_BK.dtype, device=reward_BK.device)
    if weight_K.shape != reward_BK.shape[1:]:
        raise ValueError(
            f"{reward_BK.shape[1]} reward functions need as many weights, got shape {tuple(weight_K.shape)}."
        )
    if not weight_K.isfinite().all():
        raise ValueError(f"weights={weight_K.tolist()}: every weight must be finite.")
    return weight_K


def _std_correction(std: str) -> int:
    _check_choice("std", std, ("sample", "population"))
    return 1 if std == "sample" else 0


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown. Choose one of {', '.join(choices)}.")
