"""What the loss is made of, checked and cleaned once, so that the formulas need not care about
padding.

Suffixes: B completions, T tokens of the longest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossInputs:
    """The tensors of one micro-batch, all (B, T) and 0 on padding, whatever stood there before.

    logp_BT          log-probability of each sampled token under the current policy, with gradient
    old_logp_BT      the same under the policy at the beginning of the update phase
    advantage_BT     the advantage of each token
    valid_BT         bool, True on completion tokens, the end token included
    mask_BT          `valid_BT` as numbers in the dtype of `logp_BT`, which is at least float32
    ref_logp_BT      under the reference policy, or None
    sampler_logp_BT  under the sampler, or None
    entropy_BT       entropy of the policy at each position in nats, or None
    """

    logp_BT: Tensor
    old_logp_BT: Tensor
    advantage_BT: Tensor
    valid_BT: Tensor
    mask_BT: Tensor
    ref_logp_BT: Tensor | None
    sampler_logp_BT: Tensor | None
    entropy_BT: Tensor | None

    @property
    def log_ratio_BT(self) -> Tensor:
        """log pi - log pi_old of each token."""
        return self.logp_BT - self.old_logp_BT

    @property
    def length_B1(self) -> Tensor:
        """Completion tokens of each row, at least 1."""
        return self.mask_BT.sum(1, keepdim=True).clamp(min=1)


def clean_inputs(
    logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    old_logp: Tensor | None,
    ref_logp: Tensor | None,
    sampler_logp: Tensor | None,
    entropy: Tensor | None,
) -> LossInputs:
    """Checked inputs with zeros on padding; only `logp` keeps its gradient. Raises ValueError for
    wrong shapes."""
    others = {
        "old_logp": old_logp,
        "ref_logp": ref_logp,
        "sampler_logp": sampler_logp,
        "entropy": entropy,
    }
    _check_shapes(logp, advantages, mask, others)
    valid_BT = mask != 0

    def clean(x: Tensor | None) -> Tensor | None:
        return None if x is None else torch.where(valid_BT, x.detach(), 0.0)

    # torch.where, not a product: 0 x NaN is NaN, and where sends exactly 0 back to what it did not
    # choose.
    logp_BT = torch.where(valid_BT, logp, 0.0).to(torch.promote_types(logp.dtype, torch.float32))
    advantage_BT = torch.where(
        valid_BT, (advantages if advantages.dim() == 2 else advantages.unsqueeze(1)).detach(), 0.0
    )
    old_logp_BT = clean(old_logp)
    return LossInputs(
        logp_BT=logp_BT,
        old_logp_BT=logp_BT.detach() if old_logp_BT is None else old_logp_BT,
        advantage_BT=advantage_BT,
        valid_BT=valid_BT,
        mask_BT=valid_BT.to(logp_BT.dtype),
        ref_logp_BT=clean(ref_logp),
        sampler_logp_BT=clean(sampler_logp),
        entropy_BT=clean(entropy),
    )


def _check_shapes(
    logp: Tensor, advantages: Tensor, mask: Tensor, others: dict[str, Tensor | None]
) -> None:
    if logp.dim() != 2 or not logp.is_floating_point():
        raise ValueError(
            f"logp must be (B, T) and of a floating type, got {tuple(logp.shape)} of {logp.dtype}."
        )
    for name, x in (others | {"mask": mask}).items():
        if x is not None and x.shape != logp.shape:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, logp has {tuple(logp.shape)}: give one value per token."
            )
    if advantages.shape not in (logp.shape, logp.shape[:1]):
        raise ValueError(
            f"advantages has shape {tuple(advantages.shape)}: give ({len(logp)},), one per completion, or "
            f"{tuple(logp.shape)}, one per token."
        )
