"""How hard the rewards push the log-probabilities, and how hard the KL pulls them back.

The KL itself says how far the policy has gone, not how hard beta pulls: with a small beta a large
KL weighs nothing beside the rewards. What a knob does to the next step is its part of the gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.objective.diagnostics import token_average
from workbench.objective.inputs import LossInputs
from workbench.objective.kl import kl_per_token
from workbench.objective.ratios import importance_ratio
from workbench.objective.terms import TERMS

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def push_and_pull(x: LossInputs, weight_BT: Tensor, config: GRPOConfig) -> dict[str, Tensor]:
    """Means over the completion tokens of |d policy term/dlogp| ("policy_push") and of
    |beta dKL/dlogp| ("kl_pull"), 0-d.

    Each derivative is at the token's own log-probability (with a ratio per sequence, all that
    arrives there), before the reduction weighs rows. A clipped token pushes with 0 and is still
    pulled. `weight_BT` is what multiplies the policy term; `x` needs a reference.
    """
    assert x.ref_logp_BT is not None
    # A graph of its own, over these small tensors alone: the loss's own is not touched, and there
    # is one where the loss is only measured.
    with torch.enable_grad():
        logp_BT = x.logp_BT.detach().requires_grad_()
        own = replace(x, logp_BT=logp_BT)
        ratio_BT = importance_ratio(own, config.importance_sampling_level)
        correction = ratio_BT if config.use_bias_correction_kl else None
        kl_BT = kl_per_token(logp_BT, x.ref_logp_BT, config.kl_estimator, correction)
        term_BT = weight_BT.detach() * TERMS[config.loss_type](own, ratio_BT, config)
        return {
            "policy_push": _mean_slope(term_BT, logp_BT, x.valid_BT),
            "kl_pull": _mean_slope(config.beta * kl_BT, logp_BT, x.valid_BT),
        }


def _mean_slope(values_BT: Tensor, logp_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """The mean absolute derivative of a sum at the log-probabilities; 0-d."""
    (slope_BT,) = torch.autograd.grad(
        torch.where(valid_BT, values_BT, 0.0).sum(), logp_BT, retain_graph=True
    )
    return token_average(slope_BT.abs(), valid_BT)
