"""Estimates of KL(policy || reference) from one sampled token.

Source: Schulman 2020, "Approximating KL divergence"; k3 in the loss, DeepSeekMath (arXiv
2402.03300) eq. 4; the ratio in front, DeepSeek-V3.2 (arXiv 2512.02556). With d = log pi_ref - log
pi of a token that the policy sampled:

    k1 = -d                 unbiased, can be negative
    k2 = d^2 / 2            biased, never negative, its gradient is KL's
    k3 = exp(d) - d - 1     unbiased, never negative

The orientation matters: exp(-d) + d - 1 is a well-known slip, which estimates something else. What
the gradient of each means: for samples of the policy, the gradient of k3 is on average that of
KL(reference || policy), and that of k1 is on average 0; with the ratio in front, both become the
gradient of KL(policy || reference), which is why TRL puts it there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

KL_ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": torch.neg,
    "k2": lambda d_BT: d_BT**2 / 2,
    "k3": lambda d_BT: torch.exp(d_BT) - d_BT - 1,
}
"""name -> estimate as a function of d = log pi_ref - log pi."""


def kl_per_token(
    logp_BT: Tensor, ref_logp_BT: Tensor, estimator: str = "k3", ratio_BT: Tensor | None = None
) -> Tensor:
    """The estimate at each token in nats, (B, T), with gradient through `logp_BT`.

    `ratio_BT` is the importance ratio of the config's level, not detached, neither clipped nor
    capped by delta (TRL's `use_bias_correction_kl`); None = no correction. Raises ValueError for an
    unknown estimator.
    """
    if estimator not in KL_ESTIMATORS:
        raise ValueError(
            f"kl_estimator={estimator!r} is unknown. Choose one of {', '.join(KL_ESTIMATORS)}."
        )
    kl_BT = KL_ESTIMATORS[estimator](ref_logp_BT - logp_BT)
    return kl_BT if ratio_BT is None else ratio_BT * kl_BT
