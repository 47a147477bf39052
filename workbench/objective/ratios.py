"""Importance ratios between the current and the old policy, and where they are clipped.

Sources: the ratio and the clip, PPO (arXiv 1707.06347) and DeepSeekMath (arXiv 2402.03300) eq. 3;
one ratio per sequence, GSPO (arXiv 2507.18071) eq. 7, and its token variant, section 4.3; a higher
upper bound, DAPO (arXiv 2503.14476); a cap of the ratio alone, CISPO (arXiv 2506.13585); the
divergence mask, DPPO (arXiv 2602.04879).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.config.losses import LEVELS, LOSSES
from workbench.objective.inputs import LossInputs

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def importance_ratio(x: LossInputs, level: str) -> Tensor:
    """r, (B, T), with gradient. Padding is 1.

    "token": exp(log pi - log pi_old) of each token. "sequence": exp of the mean of these log ratios
    over the completion, the same number at each of its tokens. "sequence_token" (GSPO-token): that
    number too, while the gradient is that of the token's own log-probability: with one advantage
    for all tokens the same gradient as "sequence", with one per token each pushes itself. A log
    ratio beyond the dtype's exp (88.7 nats in float32) gives inf.
    """
    if level == "token":
        return x.log_ratio_BT.exp()
    # The mean and not the sum: a product of hundreds of ratios would leave any clip range, and
    # earlier for a longer completion.
    mean_log_ratio_B1 = (x.mask_BT * x.log_ratio_BT).sum(1, keepdim=True) / x.length_B1
    if level == "sequence":
        return mean_log_ratio_B1.exp().expand_as(x.logp_BT)
    if level == "sequence_token":
        # 0 in value, so that only the gradient of it is left.
        own_BT = x.logp_BT - x.logp_BT.detach()
        return (mean_log_ratio_B1.detach() + own_BT).exp()
    raise ValueError(
        f"importance_sampling_level={level!r} is unknown. Choose one of {', '.join(LEVELS)}."
    )


def clip_bounds(config: GRPOConfig) -> tuple[float, float]:
    """The ratios between which nothing is clipped; infinite where the loss type has no such bound.

    The clipped surrogates: (1 - epsilon, 1 + epsilon_high), and epsilon_high=None means epsilon.
    gmpo: (exp(-epsilon), exp(epsilon_high)). cispo: (-inf, epsilon_high), an absolute cap. sapo and
    vespo weigh smoothly and clip nothing; dppo goes by a divergence, see `diverged_tokens`.
    Raises ValueError for cispo without epsilon_high.
    """
    loss = LOSSES[config.loss_type]
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    if loss.bound == "log_clip":
        return math.exp(-config.epsilon), math.exp(high)
    if loss.bound == "clip":
        # Two bounds, since raising an unlikely token needs more room than lowering a likely one.
        return 1 - config.epsilon, 1 + high
    if loss.caps:
        if config.epsilon_high is None:
            raise ValueError(
                f"epsilon_high=None with loss_type={config.loss_type!r}: it is the absolute cap of "
                "the ratio there. Set it to 5.0."
            )
        return -math.inf, config.epsilon_high
    return -math.inf, math.inf


def clipped_tokens(ratio_BT: Tensor, x: LossInputs, config: GRPOConfig) -> tuple[Tensor, Tensor]:
    """Which tokens are clipped (low, high), bool (B, T), False on padding.

    Clipping bites on one side only, which the advantage's sign decides: below with A < 0, above
    with A > 0; elsewhere the minimum of the surrogate chooses the unclipped branch. `ratio_BT` is
    the ratio before `delta`.
    """
    if LOSSES[config.loss_type].bound == "divergence":
        below, above = diverged_tokens(x, config)
    else:
        low, high = clip_bounds(config)
        below = ratio_BT < low
        above = ratio_BT > high
    below = below & (x.advantage_BT < 0)
    above = above & (x.advantage_BT > 0)
    return below & x.valid_BT, above & x.valid_BT


def diverged_tokens(x: LossInputs, config: GRPOConfig) -> tuple[Tensor, Tensor]:
    """Which tokens have become rarer, and which likelier, by more than `divergence_threshold`, bool
    (B, T).

    DPPO's binary approximation: the vocabulary is the sampled token and all others. dppo_tv: the
    total variation |pi - mu| of these two; dppo_kl: KL(mu || pi). mu is the sampler where its
    log-probabilities are known, as in the paper, else the old policy.
    """
    behaviour_BT = x.old_logp_BT if x.sampler_logp_BT is None else x.sampler_logp_BT
    logp_BT = x.logp_BT.detach()
    divergence_BT = DIVERGENCES[config.loss_type](behaviour_BT, logp_BT)
    far_BT = divergence_BT > config.divergence_threshold
    return far_BT & (logp_BT < behaviour_BT), far_BT & (logp_BT > behaviour_BT)


def binary_tv(behaviour_BT: Tensor, logp_BT: Tensor) -> Tensor:
    """|pi - mu| of the sampled token."""
    return (logp_BT.exp() - behaviour_BT.exp()).abs()


def binary_kl(behaviour_BT: Tensor, logp_BT: Tensor) -> Tensor:
    """mu log(mu / pi) + (1 - mu) log((1 - mu) / (1 - pi)) in nats."""
    chance_BT = behaviour_BT.exp()
    # A probability that rounds to 1 leaves 0 for the others, whose logarithm is no number.
    least = torch.finfo(logp_BT.dtype).eps
    others_BT = (1 - chance_BT).clamp(min=least)
    others_now_BT = (1 - logp_BT.exp()).clamp(min=least)
    return chance_BT * (behaviour_BT - logp_BT) + others_BT * (others_BT / others_now_BT).log()


DIVERGENCES = {"dppo_tv": binary_tv, "dppo_kl": binary_kl}
"""loss_type -> divergence of (log mu, log pi) of the sampled tokens."""
