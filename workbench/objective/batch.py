"""What the loss of a batch is made of, as plain tensors: no rollout, no model, no record.

Suffixes: B completions, R some of them, T tokens of the longest one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from workbench.objective.covariance import SELECTIONS
from workbench.objective.inputs import clean_inputs
from workbench.objective.loss import PolicyLoss, policy_loss

if TYPE_CHECKING:
    from workbench.config import GRPOConfig
    from workbench.objective.reductions import BatchTotals


@dataclass(frozen=True)
class LossBatch:
    """The arguments of `policy_loss` for some completions, which can be cut into rows."""

    logp: Tensor
    """(B, T) log-probability of each sampled token under the policy."""

    advantages: Tensor
    """(B,), or (B, T) for one per token."""

    mask: Tensor
    """(B, T) the tokens that the loss counts."""

    old_logp: Tensor | None = None
    """(B, T) under the policy before the first update; None = `logp` itself."""

    ref_logp: Tensor | None = None
    """(B, T) under the reference; None without one."""

    sampler_logp: Tensor | None = None
    """(B, T) under the sampler; None where it is not known."""

    entropy: Tensor | None = None
    """(B, T) of the policy in nats; None where it is not known."""

    group_tokens: Tensor | None = None
    """(B,) completion tokens of each row's group; None where these are whole groups, or
    loss_reduction is not "prompt_mean"."""

    selected: Tensor | None = None
    """(B, T) bool, the tokens that a loss which selects has chosen over the whole update; None
    where these rows are one, or the loss selects nothing."""

    def select(self, config: GRPOConfig) -> Tensor:
        """The tokens that `config.loss_type` chooses, where these rows are a whole update, (B,
        T)."""
        x = clean_inputs(
            self.logp,
            self.advantages,
            self.mask,
            self.old_logp,
            self.ref_logp,
            self.sampler_logp,
            self.entropy,
        )
        return SELECTIONS[config.loss_type](x, config)

    def rows(self, rows_R: Tensor) -> LossBatch:
        """The same of these completions alone."""
        return LossBatch(
            logp=self.logp[rows_R],
            advantages=self.advantages[rows_R],
            mask=self.mask[rows_R],
            old_logp=rows_of(self.old_logp, rows_R),
            ref_logp=rows_of(self.ref_logp, rows_R),
            sampler_logp=rows_of(self.sampler_logp, rows_R),
            entropy=rows_of(self.entropy, rows_R),
            group_tokens=rows_of(self.group_tokens, rows_R),
            selected=rows_of(self.selected, rows_R),
        )

    def loss(self, config: GRPOConfig, totals: BatchTotals | None = None) -> PolicyLoss:
        """Their loss; `totals`: of the whole batch, None where these are all."""
        return policy_loss(
            self.logp,
            self.advantages,
            self.mask,
            config,
            old_logp=self.old_logp,
            ref_logp=self.ref_logp,
            entropy=self.entropy,
            sampler_logp=self.sampler_logp,
            group_tokens=self.group_tokens,
            selected=self.selected,
            num_items=totals,
        )


def rows_of(values: Tensor | None, rows_R: Tensor) -> Tensor | None:
    """Some rows of what may not be known."""
    return None if values is None else values[rows_R]
