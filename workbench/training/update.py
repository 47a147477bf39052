"""One optimizer update: the gradient of the objective over some completions, then one step of
AdamW."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective import BatchTotals, merge_metrics, policy_loss
from workbench.policy.logprobs import completion_logps
from workbench.policy.policy import Policy
from workbench.training.batch import Batch, micro_batches, rows_with_gradient, totals_of
from workbench.training.guard import check_finite, check_gradients


def accumulate_gradient(
    policy: Policy, batch: Batch, rows: Tensor, config: GRPOConfig, step: int
) -> dict[str, float]:
    """Add up the gradient over the micro-batches of `rows`; returns the loss and its metrics.
    Raises `NotFiniteError`."""
    for p in (
        policy.trainable_parameters()
    ):  # AdamW moves by its momentum even where every row was skipped
        p.grad = torch.zeros_like(p)
    totals, parts, loss = totals_of(batch, rows, config), [], 0.0
    scale = loss_scale(policy, totals)
    for part in micro_batches(rows_with_gradient(batch, rows, config), config):
        mask = batch.loss_mask_BT[part]
        logp, entropy = completion_logps(policy.model, batch.rollout, part, config.temperature)
        check_finite(step, "the log-probability", logp, mask, part, config.num_generations)
        for kept_BT, new_RT in ((batch.logp_BT, logp), (batch.entropy_BT, entropy)):
            kept_BT[part] = new_RT.detach().to(
                kept_BT.dtype
            )  # the record is float32, whatever the policy is
        out = policy_loss(
            logp,
            batch.advantages_B[part].to(logp.dtype),
            mask,
            config,
            old_logp=None if batch.old_logp_BT is None else batch.old_logp_BT[part],
            ref_logp=None if batch.ref_logp_BT is None else batch.ref_logp_BT[part],
            entropy=entropy.detach(),
            sampler_logp=batch.rollout.sampler_logp_BT[part],
            num_items=totals,
        )
        check_finite(step, "the loss term", out.per_token.term, mask, part, config.num_generations)
        (out.loss * scale if scale != 1 else out.loss).backward()
        loss += out.loss.item()
        parts.append(out.metrics)
    if scale != 1:
        for p in policy.trainable_parameters():
            p.grad.div_(scale)  # type: ignore[union-attr]
    check_gradients(step, policy)
    return (merge_metrics(parts) if parts else {}) | {"loss": loss}


def loss_scale(policy: Policy, totals: BatchTotals) -> float:
    """What the loss is multiplied with during the backward pass, and the gradient divided by after
    it: 1, but for float16.

    The loss is a mean over the tokens, so a token's part of the gradient is about 1/tokens, which
    float16 (smallest normal number 6e-5) rounds away on its way through the frozen layers. The
    power of two next to the number of tokens makes it about 1, exactly undone afterwards in the
    float32 gradient of the adapter. It depends on the batch alone: no scaler has a state that a
    checkpoint would have to keep.
    """
    if policy.weight_dtype != torch.float16:
        return 1.0
    return 2.0 ** round(math.log2(max(float(totals.tokens), 1.0)))


def apply_gradient(
    policy: Policy, optimizer: torch.optim.Optimizer, config: GRPOConfig
) -> dict[str, float]:
    """Clip the gradient and move the weights; returns the norm before clipping."""
    norm = torch.nn.utils.clip_grad_norm_(
        policy.trainable_parameters(), config.max_grad_norm or float("inf")
    )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"grad_norm": float(norm)}
