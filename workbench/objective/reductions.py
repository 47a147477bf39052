"""How the terms of all tokens become one number: the second table, independent of the first.

Every function is a sum over this micro-batch over a normaliser of the whole batch, so that the
losses of the micro-batches add up to the loss of the batch whenever the whole batch's totals are
given. Sources: sequence mean, DeepSeekMath (arXiv 2402.03300) eq. 3; constant length, Dr. GRPO
(arXiv 2503.20783); token mean, DAPO (arXiv 2503.14476); length-unbiased sequence sum, LUSPO (arXiv
2602.05261).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from workbench.config.losses import LOSSES

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


@dataclass(frozen=True)
class BatchTotals:
    """What the whole batch of one optimizer update holds."""

    sequences: int | Tensor
    """Completions, those without any token in the mask included."""

    tokens: int | float | Tensor
    """Completion tokens in the mask."""

    entropy_threshold: float | Tensor | None = None
    """One threshold for all micro-batches where top_entropy_quantile < 1 (see `entropy_threshold`
    in masks.py); None = each micro-batch takes its own, as TRL does, and the result depends on the
    split."""

    @classmethod
    def of(cls, mask_BT: Tensor) -> BatchTotals:
        """The totals of these rows."""
        return cls(sequences=len(mask_BT), tokens=(mask_BT != 0).sum())

    @property
    def token_count(self) -> int | float | Tensor:
        """`tokens`, at least 1: a batch without tokens has loss 0."""
        return self.tokens.clamp(min=1) if isinstance(self.tokens, Tensor) else max(self.tokens, 1)


def sequence_mean(
    term_BT: Tensor, mask_BT: Tensor, totals: BatchTotals, config: GRPOConfig
) -> Tensor:
    """Mean over sequences of the mean over the sequence's tokens. Long completions weigh less per
    token."""
    # A row without tokens has the sum 0 and still counts as a sequence: left out, it would make the
    # others heavier.
    return (term_BT.sum(1) / mask_BT.sum(1).clamp(min=1)).sum() / totals.sequences


def token_mean(term_BT: Tensor, mask_BT: Tensor, totals: BatchTotals, config: GRPOConfig) -> Tensor:
    """Mean over the tokens of the batch. Every token weighs the same."""
    return term_BT.sum() / totals.token_count


def constant_length(
    term_BT: Tensor, mask_BT: Tensor, totals: BatchTotals, config: GRPOConfig
) -> Tensor:
    """Sum over the tokens over (sequences x max_completion_length). No length is preferred."""
    # The config's length and not the longest of the batch, with which a completion's weight would
    # depend on its neighbours.
    return term_BT.sum() / (totals.sequences * config.max_completion_length)


def sequence_sum(
    term_BT: Tensor, mask_BT: Tensor, totals: BatchTotals, config: GRPOConfig
) -> Tensor:
    """Mean over sequences of the sum over the sequence's tokens."""
    return term_BT.sum() / totals.sequences


REDUCTIONS: dict[str, Callable[[Tensor, Tensor, BatchTotals, GRPOConfig], Tensor]] = {
    "grpo": sequence_mean,
    "bnpo": token_mean,
    "dr_grpo": constant_length,
    "dapo": token_mean,
    "luspo": sequence_sum,
    "cispo": token_mean,
    "sapo": sequence_mean,
    "vespo": token_mean,
    "reinforce": token_mean,
}
"""loss_type -> how its terms are reduced."""


def resolve_totals(
    num_items: int | Tensor | BatchTotals | None, mask_BT: Tensor, loss_type: str
) -> BatchTotals:
    """The totals to divide by. None: this micro-batch's own. A number: TRL's meaning,
    which passes the tokens of the whole generation batch; losses that divide by anything else see
    the micro-batch only."""
    if isinstance(num_items, BatchTotals):
        return num_items
    own = BatchTotals.of(mask_BT)
    if num_items is None or not LOSSES[loss_type].divides_by_batch_tokens:
        return own
    return BatchTotals(sequences=own.sequences, tokens=num_items)
