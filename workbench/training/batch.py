"""One rollout batch with all that the loss needs, and how it is cut into updates and
micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.config import LOSSES, GRPOConfig
from workbench.objective import BatchTotals
from workbench.rollout.types import Rollout


@dataclass
class Batch:
    """B completions, rows in group order.

    advantages_B     what each completion's tokens are weighted with
    loss_mask_BT     the rollout's mask, less the truncated completions when those are left out
    old_logp_BT      log-probabilities before the first update; None when each row is used once, on-policy
    ref_logp_BT      the reference's; None without a reference
    logp_BT, entropy_BT   as of the last update that used the row; NaN where a row was skipped
    """

    rollout: Rollout
    advantages_B: Tensor
    loss_mask_BT: Tensor
    old_logp_BT: Tensor | None = None
    ref_logp_BT: Tensor | None = None
    logp_BT: Tensor = field(init=False)
    entropy_BT: Tensor = field(init=False)

    def __post_init__(self) -> None:
        unknown = torch.full_like(self.rollout.sampler_logp_BT, float("nan"))
        self.logp_BT, self.entropy_BT = unknown, unknown.clone()


def loss_mask(rollout: Rollout, config: GRPOConfig) -> Tensor:
    """(B,T) tokens that the loss counts; `mask_truncated_completions` leaves whole truncated rows
    out."""
    if config.mask_truncated_completions:
        return rollout.mask_BT & ~rollout.truncated_B[:, None]
    return rollout.mask_BT


def updates_of(config: GRPOConfig, device: torch.device) -> list[Tensor]:
    """The rows of each update, in order: `updates_per_rollout` parts of whole groups,
    `num_iterations` times over."""
    rows = torch.arange(config.completions_per_step, device=device)
    return list(rows.chunk(config.updates_per_rollout)) * config.num_iterations


def micro_batches(rows: Tensor, config: GRPOConfig) -> Iterator[Tensor]:
    """The rows of one update in pieces that fit into memory."""
    if len(rows):
        yield from rows.split(config.micro_batch_size or len(rows))


def totals_of(batch: Batch, rows: Tensor, config: GRPOConfig) -> BatchTotals:
    """What the losses of an update's micro-batches are divided by, so that their sum is the
    update's loss.

    dapo, cispo and vespo divide by the tokens of the whole rollout batch (TRL's
    num_items_in_batch), scaled to one update's share so that an update's gradient does not shrink
    with the number of updates.
    """
    if LOSSES[config.loss_type].divides_by_batch_tokens:
        tokens = float(batch.loss_mask_BT.sum()) / config.updates_per_rollout
    else:
        tokens = float(batch.loss_mask_BT[rows].sum())
    return BatchTotals(sequences=len(rows), tokens=torch.tensor(max(tokens, 1.0)))


def rows_with_gradient(batch: Batch, rows: Tensor, config: GRPOConfig) -> Tensor:
    """The rows that can move the policy.

    Without a KL term a row with advantage 0 (a dead group's) has no gradient, and a masked row
    never has one; they are skipped while the totals still count them. With an entropy quantile all
    rows stay, since they set the threshold.
    """
    if config.top_entropy_quantile < 1:
        return rows
    counted = batch.loss_mask_BT[rows].any(1)
    return rows[counted if config.beta > 0 else counted & (batch.advantages_B[rows] != 0)]
