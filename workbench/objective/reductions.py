"""How the terms of all tokens become one number: the second table, independent of the first.

Every function is a sum over this micro-batch over a normaliser of the whole batch, so that the
losses of the micro-batches add up to the loss of the batch whenever the whole batch's totals are
given. Sources: sequence mean, DeepSeekMath (arXiv 2402.03300) eq. 3; constant length, Dr. GRPO
(arXiv 2503.20783); token mean and prompt mean, DAPO (arXiv 2503.14476): its eq. 8 prints one
question, whose expectation is a mean over prompts, while its code and all others average over the
tokens of the batch; length-unbiased sequence sum, LUSPO (arXiv 2602.05261).

Suffixes: B completions, T tokens. `group_tokens_B` holds, for each row, the tokens of all
completions of its prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from workbench.config.losses import divides_by_batch_tokens

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

    bonus_tokens: float | Tensor | None = None
    """Tokens of the update that an entropy bonus is the mean over; None = each micro-batch takes
    its own, as TRL does."""

    @classmethod
    def of(cls, mask_BT: Tensor) -> BatchTotals:
        """The totals of these rows."""
        tokens = (mask_BT != 0).sum()
        return cls(sequences=len(mask_BT), tokens=tokens, bonus_tokens=tokens.clamp(min=1))

    @property
    def token_count(self) -> int | float | Tensor:
        """`tokens`, at least 1: a batch without tokens has loss 0."""
        return self.tokens.clamp(min=1) if isinstance(self.tokens, Tensor) else max(self.tokens, 1)


@dataclass(frozen=True)
class Terms:
    """The terms of some completions, and what they may be divided by."""

    term_BT: Tensor
    """What each token adds, 0 on padding."""

    mask_BT: Tensor
    """The completion tokens as numbers."""

    group_tokens_B: Tensor | None
    """The tokens of each row's group, rows that are not here included; None where these are whole
    groups, or nothing asks for it."""

    totals: BatchTotals
    """Of the whole batch."""


def sequence_mean(terms: Terms, config: GRPOConfig) -> Tensor:
    """Mean over sequences of the mean over the sequence's tokens. Long completions weigh less per
    token."""
    # A row without tokens has the sum 0 and still counts as a sequence: left out, it would make the
    # others heavier.
    length_B = terms.mask_BT.sum(1).clamp(min=1)
    return (terms.term_BT.sum(1) / length_B).sum() / terms.totals.sequences


def token_mean(terms: Terms, config: GRPOConfig) -> Tensor:
    """Mean over the tokens of the batch. Every token weighs the same."""
    return terms.term_BT.sum() / terms.totals.token_count


def prompt_mean(terms: Terms, config: GRPOConfig) -> Tensor:
    """Mean over prompts of the mean over the tokens of the prompt's group. Every prompt weighs the
    same, and within it every token."""
    tokens_B = terms.group_tokens_B
    if tokens_B is None:
        tokens_B = tokens_of_groups(terms.mask_BT, config.num_generations)
    # Divided row by row, so that the two halves of a group that a micro-batch cuts add up to it.
    prompts = terms.totals.sequences / config.num_generations
    return (terms.term_BT.sum(1) / tokens_B.clamp(min=1)).sum() / prompts


def constant_length(terms: Terms, config: GRPOConfig) -> Tensor:
    """Sum over the tokens over (sequences x max_completion_length). No length is preferred."""
    # The config's length and not the longest of the batch, with which a completion's weight would
    # depend on its neighbours.
    return terms.term_BT.sum() / (terms.totals.sequences * config.max_completion_length)


def sequence_sum(terms: Terms, config: GRPOConfig) -> Tensor:
    """Mean over sequences of the sum over the sequence's tokens."""
    return terms.term_BT.sum() / terms.totals.sequences


REDUCTIONS: dict[str, Callable[[Terms, GRPOConfig], Tensor]] = {
    "sequence_mean": sequence_mean,
    # The same sum over another number of tokens, which the totals hold.
    "update_token_mean": token_mean,
    "constant_length": constant_length,
    "token_mean": token_mean,
    "prompt_mean": prompt_mean,
    "sequence_sum": sequence_sum,
}
"""loss_reduction -> how the terms become one number."""


def tokens_of_groups(mask_BT: Tensor, group_size: int) -> Tensor:
    """The completion tokens of each row's group, (B,). Raises ValueError where the rows are not
    whole groups."""
    if len(mask_BT) % group_size:
        raise ValueError(
            f"loss_reduction='prompt_mean' got {len(mask_BT)} completions, which are no whole "
            f"groups of num_generations={group_size}. Pass `group_tokens`, the tokens of each "
            "row's group (`tokens_of_groups` of the whole batch)."
        )
    tokens_N = (mask_BT != 0).sum(1).view(-1, group_size).sum(1)
    return tokens_N.repeat_interleave(group_size)


def resolve_totals(
    num_items: int | Tensor | BatchTotals | None, mask_BT: Tensor, config: GRPOConfig
) -> BatchTotals:
    """The totals to divide by. None: this micro-batch's own. A number: TRL's meaning,
    which passes the tokens of the whole generation batch; reductions that divide by anything else
    see the micro-batch only."""
    if isinstance(num_items, BatchTotals):
        return num_items
    own = BatchTotals.of(mask_BT)
    if num_items is None or not divides_by_batch_tokens(config):
        return own
    return replace(own, tokens=num_items)
