"""One optimizer update: the gradient of the objective over some completions, then one step of
AdamW."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.config import LOSSES, GRPOConfig
from workbench.config.losses import looks_at_update
from workbench.methods import Batch, Method
from workbench.objective import (
    BatchTotals,
    PolicyLoss,
    merge_metrics,
    totals_of,
)
from workbench.policy.dtype import loss_scale
from workbench.policy.logprobs import completion_logps, logps_and_entropies
from workbench.policy.pieces import micro_batches
from workbench.policy.policy import Policy
from workbench.training.guard import check_finite, check_gradients


def accumulate_gradient(
    policy: Policy,
    method: Method,
    batch: Batch,
    rows_R: Tensor,
    config: GRPOConfig,
    step: int,
) -> dict[str, float]:
    """Add up the gradient over the micro-batches of `rows_R`; returns the loss and its metrics.
    Raises `NotFiniteError`."""
    totals = update_totals(policy, method, batch, rows_R, config)
    pushing_R = method.rows(batch, rows_R, config)
    skipped_R = skipped_rows(batch, rows_R, pushing_R)
    return in_one(
        gradient_of(policy, method, batch, pushing_R, skipped_R, config, totals, step),
    )


Found = tuple[float, list[dict[str, float]]]
"""The loss of some rows, and the metrics of their micro-batches."""


def in_one(*found: Found) -> dict[str, float]:
    """The loss and the metrics of an update from those of its rows."""
    parts = [part for _, of_some in found for part in of_some]
    metrics = merge_metrics(parts) if parts else {}
    return metrics | {"loss": sum(loss for loss, _ in found)}


def gradient_of(
    policy: Policy,
    method: Method,
    batch: Batch,
    pushing_R: Tensor,
    skipped_R: Tensor,
    config: GRPOConfig,
    totals: BatchTotals,
    step: int,
) -> Found:
    """Put what these rows add to the gradient of their update, whose `totals` are the whole
    update's, in place of the gradient that is there. Raises `NotFiniteError`.

    pushing_R: rows that can move the policy. skipped_R: those that are measured alone.
    """
    # Zeros, not None: AdamW moves by its momentum even where every row was skipped.
    for parameter in policy.trainable_parameters():
        parameter.grad = torch.zeros_like(parameter)

    scale = loss_scale(policy.weight_dtype, float(totals.tokens))
    loss = 0.0
    parts = []
    # Each part's backward pass follows at once, so that only one graph is in memory.
    for part in micro_batches(policy.model, batch.rollout, pushing_R, config):
        found, logp_RT = micro_batch_loss(policy, method, batch, part, config, totals, step)
        # Before the backward pass: here a NaN still has the name of its completion.
        check_finite(
            step,
            "the loss term",
            found.per_token.term,
            batch.loss_mask_BT[part],
            part,
            config.num_generations,
        )
        # The gradient passes through the log-probabilities: there it is each token's coefficient.
        logp_RT.retain_grad()
        torch.autograd.backward(found.loss * scale if scale != 1 else found.loss)
        batch.keep_coefficient(part, logp_RT, scale)
        loss += found.loss.item()
        parts.append(found.metrics)
    # Under the same weights as the others, so before the optimizer moves them.
    parts += measure_skipped(policy, method, batch, skipped_R, config, totals, step)

    # Before the check and the clipping, which are about the true gradient.
    if scale != 1:
        for parameter in policy.trainable_parameters():
            parameter.grad.div_(scale)  # type: ignore[union-attr]
    check_gradients(step, policy)
    return loss, [{name: float(value) for name, value in part.items()} for part in parts]


def micro_batch_loss(
    policy: Policy,
    method: Method,
    batch: Batch,
    part_R: Tensor,
    config: GRPOConfig,
    totals: BatchTotals,
    step: int,
) -> tuple[PolicyLoss, Tensor]:
    """The loss of some rows under the current weights and the log-probabilities that it was made
    of; `batch` keeps them and the entropies. Raises `NotFiniteError`."""
    mask_RT = batch.loss_mask_BT[part_R]
    group_size = config.num_generations
    logp_RT, entropy_RT = completion_logps(
        policy.model,
        batch.rollout,
        part_R,
        config.temperature,
        entropy_gradient=config.entropy_coef > 0,
    )
    check_finite(step, "the log-probability", logp_RT, mask_RT, part_R, group_size)
    # For the record: it shows what the update saw, and asks for no pass of its own.
    batch.keep(part_R, logp_RT, entropy_RT)
    loss = method.loss(batch.loss_batch(part_R, logp_RT, entropy_RT), config, totals)
    return loss, logp_RT


def skipped_rows(batch: Batch, rows_R: Tensor, pushing_R: Tensor) -> Tensor:
    """The rows of an update without a gradient that are measured all the same: where a KL is
    measured that is not in the loss, it is a mean over all tokens that count, those of dead groups
    included."""
    if batch.ref_logp_BT is None:
        return rows_R[:0]
    # Rows that the loss mask drops whole count in no mean.
    counted_R = batch.loss_mask_BT[rows_R].any(1)
    return rows_R[counted_R & ~torch.isin(rows_R, pushing_R)]


@torch.no_grad()
def measure_skipped(
    policy: Policy,
    method: Method,
    batch: Batch,
    skipped_R: Tensor,
    config: GRPOConfig,
    totals: BatchTotals,
    step: int,
) -> list[dict[str, Tensor]]:
    """The metrics of the rows without a gradient."""
    return [
        micro_batch_loss(policy, method, batch, part, config, totals, step)[0].metrics
        for part in micro_batches(policy.model, batch.rollout, skipped_R, config)
    ]


def update_totals(
    policy: Policy, method: Method, batch: Batch, rows_R: Tensor, config: GRPOConfig
) -> BatchTotals:
    """What an update's micro-batches have in common.

    The entropy threshold of top_entropy_quantile is the whole update's, so that the result does not
    depend on how it is cut (TRL takes each micro-batch's own). Where there are several, the
    entropies cost a pass before the first of them; a single one finds the threshold by itself. The
    same holds for the tokens that clip_cov and kl_cov choose.
    """
    batch.selected_BT = None
    if not looks_at_update(config):
        return totals_of(batch.loss_mask_BT, rows_R, config)
    pushing_R = method.rows(batch, rows_R, config)
    if len(micro_batches(policy.model, batch.rollout, pushing_R, config)) < 2:
        return totals_of(batch.loss_mask_BT, rows_R, config)
    looked = logps_and_entropies(policy.model, batch.rollout, config, rows_R)
    return totals_looked_at(batch, rows_R, *looked, config)


def totals_looked_at(
    batch: Batch, rows_R: Tensor, logp_RT: Tensor, entropy_RT: Tensor, config: GRPOConfig
) -> BatchTotals:
    """The same where the whole update was looked at beforehand; `batch` keeps the tokens that its
    loss chooses."""
    batch.selected_BT = None
    if LOSSES[config.loss_type].selects:
        batch.select(rows_R, logp_RT, entropy_RT, config)
    return totals_of(batch.loss_mask_BT, rows_R, config, entropy_RT)


def apply_gradient(
    policy: Policy, optimizer: torch.optim.Optimizer, config: GRPOConfig
) -> dict[str, float]:
    """Clip the gradient and move the weights; returns the norm before clipping, and how far the
    weights that were looked at went, in learning rates."""
    # With max_grad_norm 0 nothing is clipped, and the norm is measured all the same.
    norm = torch.nn.utils.clip_grad_norm_(
        policy.trainable_parameters(), config.max_grad_norm or float("inf")
    )
    looked_at = _some_weights(policy)
    before = [weight.clone() for weight in looked_at]
    # What config and schedule ask for; the optimizer's own may be another one inside its step.
    rate = float(optimizer.param_groups[0]["lr"])
    optimizer.step()
    # None gives their memory back until the next update makes new ones.
    optimizer.zero_grad(set_to_none=True)
    figures = {"grad_norm": float(norm)}
    if rate > 0:
        moved = [
            (after.float() - first.float()).abs().max()
            for after, first in zip(looked_at, before, strict=True)
        ]
        figures["update_over_lr_max"] = float(max(moved)) / rate
    return figures


LOOKED_AT = 1024
"""Weights of a tensor whose way is measured: a copy of them costs nothing."""


def _some_weights(policy: Policy) -> list[torch.Tensor]:
    """The first weights of the middle and of the last trained tensor, as views."""
    trained = policy.trainable_parameters()
    return [p.detach().flatten()[:LOOKED_AT] for p in (trained[len(trained) // 2], trained[-1])]
