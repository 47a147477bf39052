"""One rollout batch with all that its updates need and leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective.batch import LossBatch, rows_of
from workbench.objective.reductions import tokens_of_groups
from workbench.rollout.types import Rollout


@dataclass
class Batch:
    """B completions of up to T tokens, rows in group order."""

    rollout: Rollout

    advantages: Tensor
    """What each completion's tokens (B,), or each token (B, T), is weighed with."""

    loss_mask_BT: Tensor
    """The rollout's mask, less the truncated completions when those are left out."""

    sampler_logp_BT: Tensor | None = None
    """The sampler's, where it sampled from the policy as it is now; None where it did not, and the
    difference would be no mistake of the sampler's."""

    old_logp_BT: Tensor | None = None
    """Log-probabilities before the first update; None when each row is used once, on-policy."""

    ref_logp_BT: Tensor | None = None
    """The reference's; None without a reference."""

    selected_BT: Tensor | None = None
    """bool, the tokens that a loss which selects has chosen in the update in hand, where several
    micro-batches must share them."""

    logp_BT: Tensor = field(init=False)
    """The policy's as of the last update that used the row; NaN where a row was skipped."""

    entropy_BT: Tensor = field(init=False)
    """Its entropies in nats, of the same moment."""

    coefficient_BT: Tensor = field(init=False)
    """What grad log pi of each token was multiplied with in that update: minus the derivative of
    the loss; 0 where a row was skipped."""
    group_tokens_B: Tensor = field(init=False)
    """Tokens that the loss counts in each row's group."""

    def __post_init__(self) -> None:
        unknown = torch.full_like(self.rollout.sampler_logp_BT, float("nan"))
        self.logp_BT = unknown
        self.entropy_BT = unknown.clone()
        self.coefficient_BT = torch.zeros_like(unknown)
        self.group_tokens_B = tokens_of_groups(self.loss_mask_BT, self.rollout.num_generations)

    def keep(self, rows_R: Tensor, logp_RT: Tensor, entropy_RT: Tensor) -> None:
        """Take what an update saw into the record, which is float32, whatever the policy is."""
        self.logp_BT[rows_R] = logp_RT.detach().to(self.logp_BT.dtype)
        self.entropy_BT[rows_R] = entropy_RT.detach().to(self.entropy_BT.dtype)

    def keep_coefficient(self, rows_R: Tensor, logp_RT: Tensor, scale: float) -> None:
        """Take the derivative that the backward pass left at the log-probabilities of these rows,
        where the loss had been multiplied with `scale`."""
        if logp_RT.grad is not None:
            self.coefficient_BT[rows_R] = (-logp_RT.grad / scale).to(self.coefficient_BT.dtype)

    def select(
        self, rows_R: Tensor, logp_RT: Tensor, entropy_RT: Tensor, config: GRPOConfig
    ) -> None:
        """Choose the tokens of an update that its loss treats in another way."""
        self.selected_BT = None
        chosen_RT = self.loss_batch(rows_R, logp_RT, entropy_RT).select(config)
        self.selected_BT = torch.zeros_like(self.loss_mask_BT)
        self.selected_BT[rows_R] = chosen_RT

    def loss_batch(self, rows_R: Tensor, logp_RT: Tensor, entropy_RT: Tensor) -> LossBatch:
        """Some rows as the loss takes them, with the log-probabilities that carry the gradient
        (the entropies too, where there is a bonus for them)."""
        return LossBatch(
            logp=logp_RT,
            advantages=self.advantages[rows_R].to(logp_RT.dtype),
            mask=self.loss_mask_BT[rows_R],
            old_logp=rows_of(self.old_logp_BT, rows_R),
            ref_logp=rows_of(self.ref_logp_BT, rows_R),
            sampler_logp=rows_of(self.sampler_logp_BT, rows_R),
            entropy=entropy_RT,
            group_tokens=self.group_tokens_B[rows_R],
            selected=rows_of(self.selected_BT, rows_R),
        )


def loss_mask(rollout: Rollout, config: GRPOConfig) -> Tensor:
    """(B, T) tokens that the loss counts; `mask_truncated_completions` leaves whole truncated rows
    out."""
    if config.mask_truncated_completions:
        return rollout.mask_BT & ~rollout.truncated_B[:, None]
    return rollout.mask_BT
