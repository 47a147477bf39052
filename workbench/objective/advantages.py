"""Advantages: what the rewards of a group of completions say about each of them.

Sources: group-relative advantages and the std over the group, DeepSeekMath (arXiv 2402.03300)
section 4.1.2; no division by the std, Dr. GRPO (arXiv 2503.20783); leave-one-out baseline, RLOO
(arXiv 2402.14740); batch baseline, REINFORCE++ (arXiv 2501.03262); one normalisation per reward
function, GDPO (arXiv 2601.05242); MaxRL and pass@k stand in `estimators`. All-scored rewards give
TRL 1.16's numbers for the baseline "group" and the std "sample".

Deviations from TRL: (1) a group without spread is found by max - min == 0 and gets exactly 0,
however its mean rounds; (2) a score that is missing (NaN) does not count as 0: it is replaced by
what that function gave on average in the same group, so that the completion is neither punished nor
praised by a function which did not score it. (TRL also holds the n / (n - 1) of its std in float32:
its advantages differ from these in the eighth digit.)

Suffixes: B completions, N groups (prompts), G completions of a group, K reward functions; B = N x
G, row i is in group i // G.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config.advantages import ESTIMATORS
from workbench.objective.advantage_rule import (
    CORRECTIONS,
    AdvantageConfig,
    AdvantageRule,
    check_choices,
    checked_weights,
    grouped_rewards,
)
from workbench.objective.baselines import BASELINES, GROUP_BASELINES, fill_missing
from workbench.objective.estimators import OWN_ESTIMATORS
from workbench.objective.masked import masked_mean, masked_std, no_spread

EPS = 1e-4
"""Added to every std before it divides, as in TRL."""


@dataclass(frozen=True)
class Advantages:
    """What the rewards of a batch became. Where `scale_rewards` is "none" (and functions are summed
    first) `advantage_B` is `total_B - baseline_B`; else that difference over a std (maxrl: over the
    group's mean)."""

    advantage_B: Tensor
    """What the loss weighs each completion's tokens with; 0 where nothing scored it."""

    baseline_B: Tensor
    """What was subtracted from `total_B`, NaN where nothing scored the completion. With
    normalize_then_sum each function is centred by itself: then it is their weighted sum. pass_at_k
    compares a best of k: then it is what is left of `total_B` without that difference."""

    total_B: Tensor
    """The weighted sum of the scores. A missing one counts what the function gave on average in the
    group; NaN where nothing scored the completion."""

    mean_N: Tensor
    """Mean of the group's totals; NaN where nothing was scored."""

    std_N: Tensor
    """Their std, as `advantage_std` says; 0 where fewer than two were scored."""

    dead_N: Tensor
    """bool, True where what was compared in the group has no spread."""

    scored_N: Tensor
    """How many completions of the group at least one function scored."""


def group_advantages(rewards: Tensor, config: AdvantageConfig) -> Advantages:
    """The advantage of each completion and all that led to it, in the rewards' own dtype.

    `rewards` is (B,) or (B, K); NaN = not scored by that function. `reward_weights` has K numbers
    (None = 1 each). sum_then_normalize: the weighted sum of the scores minus the baseline, over a
    std:
        advantage_baseline  "group": the group's mean; "leave_one_out": the mean of the others in
                            the group; "batch": the batch's mean; "none": 0.
        scale_rewards       "group": the group's std + 1e-4; "batch": the batch's std + 1e-4;
                            "none": 1.

    normalize_then_sum (GDPO): each function alone minus its baseline, over its group std + 1e-4;
    the weighted sum of those is then whitened over the batch (minus mean, over std + 1e-4).
    `scale_rewards` plays no part there, as in TRL. advantage_std: "sample" divides by n - 1 (TRL,
    GDPO), "population" by n (the DeepSeekMath paper).

    advantage_estimator "maxrl" and "pass_at_k" make the whole advantage of the weighted sum by
    themselves (see `estimators`); the settings above must then be at their defaults.

    A dead group (all aggregated rewards equal) gets exactly 0 with the baselines "group" and
    "leave_one_out"; with the other two it has no std to be divided by and is left unscaled. A
    completion that no function scored gets 0 and is left out of every statistic. A completion that
    some functions scored is compared with its group on those alone. Raises ValueError for shapes,
    weights and names that do not fit, and for infinite rewards.
    """
    check_choices(config)
    reward_NGK = grouped_rewards(rewards, config)
    weight_K = checked_weights(config.reward_weights, reward_NGK)
    correction = CORRECTIONS[config.advantage_std]
    scored_NG = ~reward_NGK.isnan().all(2)
    filled_NGK = fill_missing(reward_NGK)
    total_NG = _weighted_sum(filled_NGK, weight_K)
    if not ESTIMATORS[config.advantage_estimator].uses_baseline:
        estimator = OWN_ESTIMATORS[config.advantage_estimator]
        own = estimator(total_NG, scored_NG, config.advantage_k)
        baseline_NG = total_NG - own.centred_NG
        return _answer(own.advantage_NG, baseline_NG, total_NG, own.dead_N1, scored_NG, correction)
    centred_NGK = BASELINES[config.advantage_baseline](reward_NGK, filled_NGK)
    # Not total - centred: the sum of what was subtracted is free of that difference's rounding.
    baseline_NG = _weighted_sum(filled_NGK - centred_NGK, weight_K)

    if config.multi_objective_aggregation == "normalize_then_sum":
        advantage_NG, dead_N1 = _normalize_then_sum(reward_NGK, weight_K, config)
    else:
        centred_NG = _weighted_sum(centred_NGK, weight_K)
        dead_N1 = no_spread(total_NG, scored_NG)
        advantage_NG = _scaled(centred_NG, total_NG, scored_NG, dead_N1, config)
    return _answer(advantage_NG, baseline_NG, total_NG, dead_N1, scored_NG, correction)


def _answer(
    advantage_NG: Tensor,
    baseline_NG: Tensor,
    total_NG: Tensor,
    dead_N1: Tensor,
    scored_NG: Tensor,
    correction: int,
) -> Advantages:
    return Advantages(
        advantage_B=advantage_NG.flatten(),
        baseline_B=torch.where(scored_NG, baseline_NG, torch.nan).flatten(),
        total_B=torch.where(scored_NG, total_NG, torch.nan).flatten(),
        mean_N=masked_mean(total_NG, scored_NG, 1)[:, 0],
        std_N=masked_std(total_NG, scored_NG, 1, correction)[:, 0],
        dead_N=dead_N1[:, 0],
        scored_N=scored_NG.sum(1),
    )


def _scaled(
    centred_NG: Tensor,
    total_NG: Tensor,
    scored_NG: Tensor,
    dead_N1: Tensor,
    config: AdvantageConfig,
) -> Tensor:
    """The centred rewards over the std that `scale_rewards` names, 0 where nothing is compared."""
    correction = CORRECTIONS[config.advantage_std]
    if config.scale_rewards == "group":
        std_N1 = masked_std(total_NG, scored_NG, 1, correction)
        # A dead group's std is 0. With a baseline from outside the group its centred reward need
        # not be, and over EPS alone it would be ten thousand times as large.
        divisor = torch.where(dead_N1, 1.0, std_N1 + EPS)
    elif config.scale_rewards == "batch":
        divisor = masked_std(total_NG, scored_NG, (0, 1), correction) + EPS
    else:
        divisor = torch.ones_like(total_NG)
    return torch.where(_silent(scored_NG, dead_N1, config), 0.0, centred_NG / divisor)


def _normalize_then_sum(
    reward_NGK: Tensor, weight_K: Tensor, config: AdvantageConfig
) -> tuple[Tensor, Tensor]:
    """GDPO's advantages (N, G), and which groups have no spread in what is compared, (N, 1)."""
    columns = [_normalized_alone(reward_NG, config) for reward_NG in reward_NGK.unbind(2)]
    sum_NG = _weighted_sum(torch.stack(columns, 2), weight_K)
    scored_NG = ~reward_NGK.isnan().all(2)
    # Whitened over the batch, so that the size of the advantages does not grow with K.
    mean = masked_mean(sum_NG, scored_NG, (0, 1))
    std = masked_std(sum_NG, scored_NG, (0, 1), CORRECTIONS[config.advantage_std])
    white_NG = (sum_NG - mean) / (std + EPS)
    dead_N1 = no_spread(sum_NG, scored_NG)
    return torch.where(_silent(scored_NG, dead_N1, config), 0.0, white_NG), dead_N1


def _normalized_alone(reward_NG: Tensor, config: AdvantageConfig) -> Tensor:
    """The advantages of one function's scores over their group std, (N, G)."""
    # Without weights and aggregation, which come with the sum over the functions.
    rule = AdvantageRule(
        num_generations=config.num_generations,
        advantage_baseline=config.advantage_baseline,
        advantage_std=config.advantage_std,
    )
    return group_advantages(reward_NG.flatten(), rule).advantage_B.view_as(reward_NG)


def _silent(scored_NG: Tensor, dead_N1: Tensor, config: AdvantageConfig) -> Tensor:
    """Where the advantage is exactly 0, bool (N, G)."""
    if config.advantage_baseline in GROUP_BASELINES:
        return ~scored_NG | dead_N1
    return ~scored_NG


def _weighted_sum(x_NGK: Tensor, weight_K: Tensor) -> Tensor:
    """Sum over the functions one by one: equal rows give equal bits, which a matrix product does
    not promise."""
    sum_NG = x_NGK[:, :, 0] * weight_K[0]
    for k in range(1, len(weight_K)):
        sum_NG = sum_NG + x_NGK[:, :, k] * weight_K[k]
    return sum_NG
