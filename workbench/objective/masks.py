"""What is multiplied onto the policy term of a token: off-policy sequence mask, entropy mask,
sampler correction.

None of them touches the KL, none has a gradient; all are (B, T).
Sources: DeepSeek-V3.2 (arXiv 2512.02556) eq. 9; Beyond the 80/20 Rule (arXiv 2506.01939); truncated
importance sampling as in TRL 1.16's `vllm_importance_sampling_mode`, here for every sampler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.objective.inputs import LossInputs

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def off_policy_mask(x: LossInputs, threshold: float) -> Tensor:
    """False where A < 0 and the sequence is far from the policy, bool (B, T).

    Far: the mean over its tokens of log(behaviour / pi) is above `threshold`. Behaviour is the
    sampler where its log-probabilities are known, else the old policy. With one advantage per
    token, each token of a far sequence is judged by its own sign.
    """
    # The sampler drew the tokens; the trainer's old policy is only nearly the same.
    behaviour_BT = x.old_logp_BT if x.sampler_logp_BT is None else x.sampler_logp_BT
    log_ratio_BT = x.mask_BT * (behaviour_BT - x.logp_BT.detach())
    # A mean, so that a long completion is not far for its length alone.
    distance_B1 = log_ratio_BT.sum(1, keepdim=True) / x.length_B1
    return (x.advantage_BT >= 0) | (distance_B1 <= threshold)


TIE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""What an entropy may lack of the threshold and reach it still, in parts of itself: those of one
distribution, computed in two passes, differ by a rounding, and all completions of a prompt have
that of their first token in common."""


def entropy_threshold(entropy_BT: Tensor, valid_BT: Tensor, share: float) -> Tensor:
    """The entropy (0-d, nats) at or above which the top `share` of the completion tokens lies; NaN
    without tokens.

    Interpolated between neighbours, as `torch.quantile` does.
    """
    # nanquantile needs no boolean indexing, which would make a GPU wait; it does need float32 or
    # more.
    entropy_BT = entropy_BT.to(torch.promote_types(entropy_BT.dtype, torch.float32))
    return torch.nanquantile(torch.where(valid_BT, entropy_BT, torch.nan), 1 - share)


def reaches_threshold(entropy_BT: Tensor, threshold: Tensor | float) -> Tensor:
    """bool (B, T), True where an entropy is the threshold or above, up to rounding."""
    tie = TIE.get(entropy_BT.dtype, TIE[torch.float32])
    return entropy_BT + tie * entropy_BT.abs() >= threshold


def entropy_mask(x: LossInputs, share: float, threshold: Tensor | float | None = None) -> Tensor:
    """True on the `share` of completion tokens with the highest entropy, bool (B, T).

    `threshold` is that of a whole update, so that its micro-batches share one; None takes it from
    the rows given. (Deviation from TRL, where each micro-batch has its own, so that the result
    depends on the split; it also rounds it to float32, and the token at the threshold may be lost.)
    Raises ValueError without entropies.
    """
    if x.entropy_BT is None:
        raise ValueError(
            f"top_entropy_quantile={share} needs `entropy`, the policy's entropy at each token. "
            "Pass it, or set 1.0."
        )
    entropy_BT = x.entropy_BT.detach()
    if threshold is None:
        threshold = entropy_threshold(entropy_BT, x.valid_BT, share)
    return x.valid_BT & reaches_threshold(entropy_BT, threshold)


def sampler_ratio(x: LossInputs, level: str) -> Tensor:
    """pi_old / sampler of each token ("token"), or the product over the sequence ("sequence"), raw,
    (B, T); padding is not cleared."""
    assert x.sampler_logp_BT is not None
    difference_BT = x.old_logp_BT - x.sampler_logp_BT
    # The logarithms are added up: a product of so many ratios would leave the range on its way.
    if level == "sequence":
        difference_BT = (x.mask_BT * difference_BT).sum(1, keepdim=True).expand_as(difference_BT)
    return difference_BT.exp()


def sampler_correction(x: LossInputs, config: GRPOConfig) -> Tensor:
    """The weight that corrects for a sampler whose log-probabilities differ from the trainer's, (B,
    T).

    importance_sampling_mode token_truncate or sequence_truncate: the ratio held within [clip_min,
    clip_max]; token_mask or sequence_mask: the ratio where it lies within, else 0. A bound of None
    is no bound (TRL fails where a truncate mode has neither). A masked token leaves the loss and
    stays in its denominator, as in TRL; two other systems count that as a fault, since the other
    tokens then do not make up for it. Raises ValueError for an unknown
    mode, or where a mode is set and no sampler log-probabilities are given.
    """
    mode = config.importance_sampling_mode
    if mode is None:
        return torch.ones_like(x.mask_BT)
    level, _, action = mode.partition("_")
    if level not in ("token", "sequence") or action not in ("truncate", "mask"):
        raise ValueError(
            f"importance_sampling_mode={mode!r} is unknown. Choose token_truncate, token_mask, "
            "sequence_truncate, sequence_mask or None."
        )
    if x.sampler_logp_BT is None:
        raise ValueError(
            f"importance_sampling_mode={mode!r} needs `sampler_logp`, the sampler's "
            "log-probabilities. Pass them, or set None."
        )
    ratio_BT = sampler_ratio(x, level)
    lowest = config.importance_sampling_clip_min
    highest = config.importance_sampling_clip_max
    # No bound is a bound that no ratio passes, so that one rule serves every case.
    low = 0.0 if lowest is None else lowest
    high = torch.inf if highest is None else highest
    if action == "truncate":
        return ratio_BT.clamp(low, high)
    # Chosen, not multiplied: 0 times an infinite ratio would be NaN.
    return torch.where((ratio_BT >= low) & (ratio_BT <= high), ratio_BT, 0.0)
