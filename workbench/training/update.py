"""One optimizer update: the gradient of the objective over some completions, then one step of AdamW."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective import merge_metrics, policy_loss
from workbench.policy.logprobs import completion_logps
from workbench.policy.policy import Policy
from workbench.training.batch import Batch, micro_batches, rows_with_gradient, totals_of
from workbench.training.guard import check_finite, check_gradients


def accumulate_gradient(policy: Policy, batch: Batch, rows: Tensor, config: GRPOConfig, step: int) -> dict[str, float]:
    """Add up the gradient over the micro-batches of `rows`; returns the loss and its metrics. Raises `NotFinite`."""
    for p in policy.trainable_parameters():  # AdamW moves by its momentum even where every row was skipped
        p.grad = torch.zeros_like(p)
    totals, parts, loss = totals_of(batch, rows, config), [], 0.0
    for part in micro_batches(rows_with_gradient(batch, rows, config), config):
        mask = batch.loss_mask_BT[part]
        logp, entropy = completion_logps(policy.model, batch.rollout, part, config.temperature)
        check_finite(step, "the log-probability", logp, mask, part, config.num_generations)
        batch.logp_BT[part], batch.entropy_BT[part] = logp.detach(), entropy.detach()
        out = policy_loss(
            logp, batch.advantages_B[part].to(logp.dtype), mask, config,
            old_logp=None if batch.old_logp_BT is None else batch.old_logp_BT[part],
            ref_logp=None if batch.ref_logp_BT is None else batch.ref_logp_BT[part],
            entropy=entropy.detach(), sampler_logp=batch.rollout.sampler_logp_BT[part], num_items=totals)
        check_finite(step, "the loss term", out.per_token.term, mask, part, config.num_generations)
        out.loss.backward()
        loss += out.loss.item()
        parts.append(out.metrics)
    check_gradients(step, policy)
    return (merge_metrics(parts) if parts else {}) | {"loss": loss}


def apply_gradient(policy: Policy, optimizer: torch.optim.Optimizer, config: GRPOConfig) -> dict[str, float]:
    """Clip the gradient and move the weights; returns the norm before clipping."""
    norm = torch.nn.utils.clip_grad_norm_(policy.trainable_parameters(), config.max_grad_norm or float("inf"))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"grad_norm": float(norm)}
