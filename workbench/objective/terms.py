"""The policy term of each loss type: what one token adds to the loss before masks, KL and
reduction.

Every function maps (inputs, ratio_BT, config) to a (B, T) tensor with gradient. r is the importance
ratio, A the advantage, lp the log-probability; padding is cleared afterwards. (TRL holds the
constants of sapo and vespo in float32; here they have the dtype of the inputs.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.objective.inputs import LossInputs
from workbench.objective.masks import sampler_correction
from workbench.objective.ratios import clip_bounds, clipped_tokens

if TYPE_CHECKING:
    from workbench.config import GRPOConfig

MAX_LOG_RATIO = 20.0
"""VESPO's bound on log ratios, in nats."""
MIN_WEIGHT = 1e-8
"""VESPO's least sequence weight."""


def clipped_surrogate(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-min( min(r, delta) A, clip(r, 1 - epsilon, 1 + epsilon_high) A ): PPO's, with INTELLECT-2's
    delta.

    `delta` caps the unclipped branch only (arXiv 2505.07291): it bounds the loss of a token with A
    < 0 and a large ratio.
    """
    # The minimum is the pessimistic one of the two: a token whose ratio has already moved the way
    # that its advantage asks for has no gradient any more, one that moved the other way keeps it.
    unclipped_BT = ratio_BT if config.delta is None else ratio_BT.clamp(max=config.delta)
    clipped_BT = ratio_BT.clamp(*clip_bounds(config))
    return -torch.min(unclipped_BT * x.advantage_BT, clipped_BT * x.advantage_BT)


def capped_reinforce(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-min(r, epsilon_high) A lp, the ratio detached: CISPO (arXiv 2506.13585) eq. 4. No token
    loses its gradient."""
    # Detached: the gradient is that of lp alone, so that a capped token is still pushed.
    _, cap = clip_bounds(config)
    weight_BT = ratio_BT.detach().clamp(max=cap)
    return -weight_BT * x.advantage_BT * x.logp_BT


def log_likelihood(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-A lp: REINFORCE (Williams 1992), and with A = 1 the cross-entropy. The ratio plays no part,
    so that a row of another policy's is imitated as it stands."""
    return -x.advantage_BT * x.logp_BT


def soft_gate(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-A sigmoid(tau (r - 1)) 4 / tau: SAPO (arXiv 2511.20347). tau is one number for A > 0,
    another otherwise."""
    # 4 / tau makes the slope at ratio 1 the same as that of the surrogate, whatever tau is.
    tau_BT = _where(
        x.advantage_BT > 0, config.sapo_temperature_pos, config.sapo_temperature_neg, ratio_BT
    )
    return -x.advantage_BT * torch.sigmoid(tau_BT * (ratio_BT - 1)) * 4 / tau_BT


def gamma_weighted(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-phi A lp, phi = exp(lambda + k log w - lambda w) detached: VESPO (arXiv 2602.10693), as in
    TRL 1.16.

    log w = the sum of the log ratios of the sequence, each bounded to +-20 nats, plus the sum of
    the logs of the sampler correction, and bounded itself to [log 1e-8, 20]. (k, lambda) is one
    pair for A >= 0, another for A < 0. `ratio_BT` plays no part.

    Raises ValueError for a sampler correction per sequence, which would be counted once per token
    here (TRL refuses it too).
    """
    if (config.importance_sampling_mode or "").startswith("sequence"):
        raise ValueError(
            f"importance_sampling_mode={config.importance_sampling_mode!r} with "
            f"loss_type={config.loss_type!r}: the correction enters the sequence weight token by "
            "token. Set token_truncate, token_mask or None."
        )
    return -sequence_weight(x, config) * x.advantage_BT * x.logp_BT


def sequence_weight(x: LossInputs, config: GRPOConfig) -> Tensor:
    """VESPO's phi of each token, (B, T), without a gradient: see `gamma_weighted`."""
    # A weight only, as in CISPO: the gradient is that of lp alone.
    with torch.no_grad():
        # Each token is bounded before the sum, so that one wild token cannot decide for all.
        bounded_BT = x.log_ratio_BT.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        # A correction of 0 has the log -inf, which times 0 would be NaN on padding.
        correction_BT = sampler_correction(x, config).clamp(min=MIN_WEIGHT).log()
        log_w_B1 = (x.mask_BT * (bounded_BT + correction_BT)).sum(1, keepdim=True)
        # Again: the sum over a long sequence of bounded numbers has no bound that exp can bear.
        log_w_B1 = log_w_B1.clamp(math.log(MIN_WEIGHT), MAX_LOG_RATIO)
        k_BT = _where(x.advantage_BT >= 0, config.vespo_k_pos, config.vespo_k_neg, log_w_B1)
        lambda_BT = _where(
            x.advantage_BT >= 0, config.vespo_lambda_pos, config.vespo_lambda_neg, log_w_B1
        )
        return (lambda_BT + k_BT * log_w_B1 - lambda_BT * log_w_B1.exp()).exp()


def geometric_mean(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-A exp(mean over the completion of the clipped log ratios), at each of its tokens: GMPO
    (arXiv 2507.20673) eq. 4, as in TRL 1.16's GMPOTrainer.

    Each log ratio is held within [-epsilon, epsilon_high] on the side that its advantage moves it
    to, and only then averaged: one wild token changes little, and takes nothing from the others.
    With one advantage per token, each has its own at its place.
    """
    return -held_log_ratio(x, config).exp() * x.advantage_BT


def held_log_ratio(x: LossInputs, config: GRPOConfig) -> Tensor:
    """The mean over each completion of its held log ratios, (B, 1): see `geometric_mean`."""
    low, high = clip_bounds(config)
    log_ratio_BT = x.log_ratio_BT
    # As the minimum in the surrogate: what moved against its advantage keeps its gradient.
    held_BT = torch.where(
        x.advantage_BT > 0,
        log_ratio_BT.clamp(max=math.log(high)),
        log_ratio_BT.clamp(min=math.log(low)),
    )
    return (x.mask_BT * held_BT).sum(1, keepdim=True) / x.length_B1


def masked_surrogate(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-M r A: DPPO (arXiv 2602.04879), M = 0 where a token's probability has moved further than
    `divergence_threshold` and its advantage would move it on, else 1.

    (The common code also cuts the ratio at 20, which the paper's objective does not; the corrected
    sampler of importance_sampling_mode does that here, where it is wanted.)
    """
    # By how far the probability went, not the ratio: a rare token may double, a sure one may not
    # halve.
    below_BT, above_BT = clipped_tokens(ratio_BT.detach(), x, config)
    return torch.where(below_BT | above_BT, 0.0, -ratio_BT * x.advantage_BT)


def covariance_clipped(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """The clipped surrogate, 0 at the selected tokens: Clip-Cov (arXiv 2505.22617)."""
    return torch.where(_selected(x), 0.0, clipped_surrogate(x, ratio_BT, config))


def covariance_held(x: LossInputs, ratio_BT: Tensor, config: GRPOConfig) -> Tensor:
    """-r A, + kl_cov_coef |log pi_old - log pi| at the selected tokens: KL-Cov (arXiv 2505.22617).

    The KL to the old policy is estimated by the absolute log ratio, as in the paper's code; where
    the policy has not moved yet it has no gradient.
    """
    penalty_BT = config.kl_cov_coef * x.log_ratio_BT.abs()
    return -ratio_BT * x.advantage_BT + torch.where(_selected(x), penalty_BT, 0.0)


def _selected(x: LossInputs) -> Tensor:
    assert x.selected_BT is not None
    return x.selected_BT


def _where(condition_BT: Tensor, yes: float, no: float, like: Tensor) -> Tensor:
    """One of two numbers per token, in the dtype of `like`: torch.where rounds two bare numbers to
    float32."""
    return torch.where(condition_BT, like.new_tensor(yes), like.new_tensor(no))


TERMS: dict[str, Callable[[LossInputs, Tensor, GRPOConfig], Tensor]] = {
    "grpo": clipped_surrogate,
    "bnpo": clipped_surrogate,
    "dr_grpo": clipped_surrogate,
    "dapo": clipped_surrogate,
    "luspo": clipped_surrogate,
    "cispo": capped_reinforce,
    "sapo": soft_gate,
    "vespo": gamma_weighted,
    "gmpo": geometric_mean,
    "dppo_tv": masked_surrogate,
    "dppo_kl": masked_surrogate,
    "clip_cov": covariance_clipped,
    "kl_cov": covariance_held,
    "reinforce": log_likelihood,
}
"""loss_type -> its per-token term."""
