"""Gradients of single completions, through the workbench's own log-prob pass and its own loss.

The loss of a batch is a function of the log-probabilities (and, with a bonus, the entropies) of its
tokens alone. Its derivatives there are the coefficients; minus the coefficients times a
completion's own log-probabilities is that completion's part of the loss's gradient, and the parts
add up to all of it. A gradient is one flat tensor over all trained parameters.

Suffixes: R completions of an update, T tokens, W trained weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods import Batch, Method
from workbench.objective import BatchTotals
from workbench.policy.dtype import loss_scale
from workbench.policy.logprobs import completion_logps
from workbench.policy.pieces import micro_batches
from workbench.policy.policy import Policy
from workbench.rollout.types import Rollout


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """(W,) all numbers of these tensors in one row, in the widest of their formats."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def put_weights(policy: Policy, weights_W: Tensor) -> None:
    """Set the trained parameters to what `flat` had made of them."""
    parameters: Sequence[Tensor] = policy.trainable_parameters()
    sizes = [parameter.numel() for parameter in parameters]
    with torch.no_grad():
        for parameter, values in zip(parameters, weights_W.split(sizes), strict=True):
            parameter.copy_(values.view_as(parameter))


@dataclass(frozen=True)
class Weights:
    """What the log-probabilities and entropies of one completion are multiplied with."""

    logp_T: Tensor
    entropy_T: Tensor | None = None
    """None where there is no entropy bonus."""


def loss_weights(
    policy: Policy,
    method: Method,
    batch: Batch,
    rows_R: Tensor,
    config: GRPOConfig,
    totals: BatchTotals,
) -> dict[int, Weights]:
    """For each row of an update that can move the policy: minus the derivative of the loss by the
    log-probability of each of its tokens (the gradient coefficient), and by their entropies.

    Under the weights of now, so before the optimizer moves them.
    """
    found: dict[int, Weights] = {}
    bonus = config.entropy_coef > 0
    pushing_R = method.rows(batch, rows_R, config)
    for part in micro_batches(policy.model, batch.rollout, pushing_R, config):
        with torch.no_grad():
            logp_RT, entropy_RT = completion_logps(
                policy.model, batch.rollout, part, config.temperature
            )
        logp_RT.requires_grad_()
        entropy_RT.requires_grad_(bonus)
        loss = method.loss(batch.loss_batch(part, logp_RT, entropy_RT), config, totals).loss
        asked = [logp_RT, entropy_RT] if bonus else [logp_RT]
        slopes = torch.autograd.grad(loss, asked, materialize_grads=True)
        for place, row in enumerate(part.tolist()):
            entropy_T = -slopes[1][place] if bonus else None
            found[row] = Weights(-slopes[0][place], entropy_T)
    return found


def gradient_of(
    policy: Policy, rollout: Rollout, row: int, weights: Weights, temperature: float
) -> Tensor:
    """(W,) the gradient by the trained parameters of the weighted sum of one completion's token
    log-probabilities (and entropies)."""
    rows = torch.tensor([row], device=rollout.mask_BT.device)
    logp_1T, entropy_1T = completion_logps(
        policy.model,
        rollout,
        rows,
        temperature,
        entropy_gradient=weights.entropy_T is not None,
    )
    total = (weights.logp_T.to(logp_1T.dtype) * logp_1T[0]).sum()
    if weights.entropy_T is not None:
        total = total + (weights.entropy_T.to(entropy_1T.dtype) * entropy_1T[0]).sum()
    # As in training: float16 would round a small token's part away.
    largest = float(weights.logp_T.abs().max())
    scale = loss_scale(policy.weight_dtype, 1.0 / largest if largest > 0 else 1.0)
    parameters = policy.trainable_parameters()
    found = flat(torch.autograd.grad(total * scale, parameters, materialize_grads=True))
    return found / scale if scale != 1 else found
