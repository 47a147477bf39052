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
    """The tensors of one micro-batch, all (B, T) and 0 on padding, whatever stood there before."""

    logp_BT: Tensor
    """Log-probability of each sampled token under the current policy, with gradient."""

    old_logp_BT: Tensor
    """The same under the policy at the beginning of the update phase."""

    advantage_BT: Tensor
    """The advantage of each token."""

    valid_BT: Tensor
    """bool, True on completion tokens, the end token included."""

    mask_BT: Tensor
    """`valid_BT` as numbers in the dtype of `logp_BT`, which is at least float32."""

    ref_logp_BT: Tensor | None
    """Under the reference policy, or None."""

    sampler_logp_BT: Tensor | None
    """Under the sampler, or None."""

    entropy_BT: Tensor | None
    """Entropy of the policy at each position in nats, with its gradient where it was given with
    one, or None."""

    selected_BT: Tensor | None = None
    """bool, the tokens that a loss which selects has chosen; None for the others."""

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
    """Checked inputs with zeros on padding; only `logp` and `entropy` keep a gradient. Raises
    ValueError for wrong shapes."""
    others = {
        "old_logp": old_logp,
        "ref_logp": ref_logp,
        "sampler_logp": sampler_logp,
        "entropy": entropy,
    }
    _check_shapes(logp, advantages, mask, others)
    valid_BT = mask != 0

    def clean(values_BT: Tensor | None) -> Tensor | None:
        return None if values_BT is None else torch.where(valid_BT, values_BT, 0.0)

    def constant(values_BT: Tensor | None) -> Tensor | None:
        return clean(None if values_BT is None else values_BT.detach())

    # torch.where, not a product: 0 x NaN is NaN, and where sends exactly 0 back to what it did not
    # choose. Half precision is widened, since a sum of many small terms would lose them.
    wide = torch.promote_types(logp.dtype, torch.float32)
    logp_BT = torch.where(valid_BT, logp, 0.0).to(wide)
    # One per completion holds for each of its tokens.
    advantage = advantages if advantages.dim() == 2 else advantages.unsqueeze(1)
    advantage_BT = torch.where(valid_BT, advantage.detach(), 0.0)
    old_logp_BT = constant(old_logp)
    return LossInputs(
        logp_BT=logp_BT,
        # The first update after a rollout: the policy is still the one that it is compared with.
        old_logp_BT=logp_BT.detach() if old_logp_BT is None else old_logp_BT,
        advantage_BT=advantage_BT,
        valid_BT=valid_BT,
        mask_BT=valid_BT.to(logp_BT.dtype),
        ref_logp_BT=constant(ref_logp),
        sampler_logp_BT=constant(sampler_logp),
        entropy_BT=clean(entropy),
    )


def _check_shapes(
    logp: Tensor, advantages: Tensor, mask: Tensor, others: dict[str, Tensor | None]
) -> None:
    if logp.dim() != 2 or not logp.is_floating_point():
        raise ValueError(
            f"logp must be (B, T) and of a floating type, got {tuple(logp.shape)} of {logp.dtype}."
        )
    for name, values in (others | {"mask": mask}).items():
        if values is not None and values.shape != logp.shape:
            raise ValueError(
                f"{name} has shape {tuple(values.shape)}, logp has {tuple(logp.shape)}: give one "
                "value per token."
            )
    if advantages.shape not in (logp.shape, logp.shape[:1]):
        raise ValueError(
            f"advantages has shape {tuple(advantages.shape)}: give ({len(logp)},), one per "
            f"completion, or {tuple(logp.shape)}, one per token."
        )
