"""The guard against NaN and infinity: it stops before a bad update and says where the bad number
first was."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.policy.policy import Policy


class NotFiniteError(WorkbenchError, FloatingPointError):
    """A tensor of a step holds NaN or infinity; the weights are still those of before the
    update."""


def check_finite(
    step: int, name: str, values_BT: Tensor, mask_BT: Tensor, rows: Tensor, num_generations: int
) -> None:
    """Raises `NotFiniteError` naming step, tensor, completion, group and token when a counted value
    is not finite."""
    bad = ~torch.isfinite(values_BT.detach()) & mask_BT.bool()
    if bad.any():
        first, token = (int(i) for i in bad.nonzero()[0])
        row = int(rows[first])
        raise NotFiniteError(
            f"step {step}: {name} is {values_BT[first, token].item()} at token {token} of "
            f"completion {row} (group "
            f"{row // num_generations}); {int(bad.sum())} such values. No update was made. Lower "
            "learning_rate, or look at "
            "what was sampled in this group."
        )


def check_gradients(step: int, policy: Policy) -> None:
    """Raises `NotFiniteError` naming the first parameter whose gradient is not finite, or the
    largest where only their common norm is not. Clipping comes after: it could not help, and by a
    norm beyond all numbers it would make every gradient 0 without a word."""
    gradients = {n: p.grad for n, p in policy.trainable_state().items() if p.grad is not None}
    if torch.isfinite(torch.nn.utils.get_total_norm(gradients.values())):
        return
    for name, gradient in gradients.items():
        if not torch.isfinite(gradient).all():
            raise NotFiniteError(
                f"step {step}: the gradient of {name} is not finite. No update was made. "
                f"{_remedy(policy)}"
            )
    largest = max(gradients, key=lambda name: float(gradients[name].abs().max()))
    raise NotFiniteError(
        f"step {step}: the norm of the gradient is not finite; the largest is that of {largest}, "
        f"{float(gradients[largest].abs().max()):.3g}. No update was made. {_remedy(policy)}"
    )


def _remedy(policy: Policy) -> str:
    if policy.weight_dtype == torch.float16:
        return (
            "The weights are float16, and a backward pass through them may overflow: load them "
            "with dtype='float32', or use a GPU that "
            "computes in bfloat16 (dtype='bfloat16'; a T4 does not)."
        )
    return (
        "If earlier steps went well, go back to a checkpoint and lower learning_rate: the weights "
        "have moved too far. If not, look at "
        "beta, temperature and the rewards of this step for a value far too large."
    )
