"""How a batch is cut into optimizer updates, and what the micro-batches of each divide by.

Suffixes: B completions, R the ones of an update, T tokens of the longest one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.config.losses import LOSSES, divides_by_batch_tokens
from workbench.objective.masks import entropy_threshold, reaches_threshold
from workbench.objective.reductions import BatchTotals

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def updates_of(config: GRPOConfig, device: torch.device) -> list[Tensor]:
    """The rows of each update, in order: `updates_per_rollout` parts of whole groups,
    `num_iterations` times over."""
    rows_B = torch.arange(config.completions_per_step, device=device)
    return list(rows_B.chunk(config.updates_per_rollout)) * config.num_iterations


def totals_of(
    mask_BT: Tensor, rows_R: Tensor, config: GRPOConfig, entropy_RT: Tensor | None = None
) -> BatchTotals:
    """What the losses of an update's micro-batches are divided by, so that their sum is the
    update's loss; with `entropy_RT` and top_entropy_quantile < 1 also their common threshold.

    "token_mean" divides by the tokens of the whole rollout batch (TRL's num_items_in_batch), scaled
    to one update's share so that an update's gradient does not shrink with the number of updates.
    """
    counted_RT = mask_BT[rows_R]
    if divides_by_batch_tokens(config):
        tokens = float(mask_BT.sum()) / config.updates_per_rollout
    else:
        tokens = float(counted_RT.sum())
    threshold = None
    bonus_tokens = float(counted_RT.sum())
    if entropy_RT is not None and config.top_entropy_quantile < 1:
        threshold = entropy_threshold(entropy_RT, counted_RT != 0, config.top_entropy_quantile)
        bonus_tokens = float(((counted_RT != 0) & reaches_threshold(entropy_RT, threshold)).sum())
    return BatchTotals(
        sequences=len(rows_R),
        tokens=torch.tensor(max(tokens, 1.0)),
        entropy_threshold=threshold,
        bonus_tokens=max(bonus_tokens, 1.0),
    )


def rows_with_gradient(
    mask_BT: Tensor, advantages: Tensor, rows_R: Tensor, config: GRPOConfig
) -> Tensor:
    """The rows that can move the policy.

    Without a KL term and an entropy bonus a row with advantage 0 (a dead group's) has no gradient,
    and a masked row never has one; they are skipped while the totals still count them. With an
    entropy quantile all rows stay, since they set the threshold.
    """
    if config.top_entropy_quantile < 1:
        return rows_R
    counted_R = mask_BT[rows_R].any(1)
    # An adapting bonus is 0 for a while, and still has to know the entropy of all tokens.
    # A loss that selects looks at all tokens, and may hold one whose advantage is 0.
    selects = LOSSES[config.loss_type].selects
    if config.beta > 0 or config.has_entropy_bonus or selects:
        return rows_R[counted_R]
    pushed_R = advantages[rows_R].reshape(len(rows_R), -1).any(1)
    return rows_R[counted_R & pushed_R]
