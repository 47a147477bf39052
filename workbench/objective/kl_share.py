"""How much of the push on the log-probabilities is the KL term's.

The KL itself says how far the policy has gone, not how hard beta pulls: with a small beta a large
KL weighs nothing beside the rewards. What a knob does to the next step is its part of the gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.objective.inputs import LossInputs
from workbench.objective.kl import kl_per_token
from workbench.objective.ratios import importance_ratio
from workbench.objective.terms import TERMS

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def kl_gradient_share(x: LossInputs, weight_BT: Tensor, config: GRPOConfig) -> Tensor:
    """sum |beta dKL/dlogp| / (sum |d policy term/dlogp| + sum |beta dKL/dlogp|), 0-d in [0, 1].

    The sums go over the completion tokens, each derivative at its own log-probability (with a ratio
    per sequence, all that arrives there). Tokens count alike, whatever the reduction makes of rows
    afterwards. A clipped token pushes with 0 and is still pulled. 0 where nothing pushes or pulls.
    `weight_BT` is what multiplies the policy term; `x` needs a reference.
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
        pull = _absolute_sum(config.beta * kl_BT, logp_BT, x.valid_BT)
        push = _absolute_sum(term_BT, logp_BT, x.valid_BT)
    total = push + pull
    return torch.where(total > 0, pull / total, total)


def _absolute_sum(values_BT: Tensor, logp_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """The absolute derivatives of a sum at the log-probabilities, added up; 0-d."""
    (gradient_BT,) = torch.autograd.grad(
        torch.where(valid_BT, values_BT, 0.0).sum(), logp_BT, retain_graph=True
    )
    return gradient_BT.abs().sum()
