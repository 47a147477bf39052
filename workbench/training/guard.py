"""The guard against NaN and infinity: it stops before a bad update and says where the bad number first was."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.policy.policy import Policy


class NotFinite(WorkbenchError, FloatingPointError):
    """A tensor of a step holds NaN or infinity; the weights are still those of before the update."""


def check_finite(step: int, name: str, values_BT: Tensor, mask_BT: Tensor, rows: Tensor, num_generations: int) -> None:
    """Raises `NotFinite` naming step, tensor, completion, group and token when a counted value is not finite."""
    bad = ~torch.isfinite(values_BT.detach()) & mask_BT.bool()
    if bad.any():
        first, token = (int(i) for i in bad.nonzero()[0])
        row = int(rows[first])
        raise NotFinite(
            f"step {step}: {name} is {values_BT[first, token].item()} at token {token} of completion {row} (group "
            f"{row // num_generations}); {int(bad.sum())} such values. No update was made. Lower learning_rate, or look at "
            "what was sampled in this group.")


def check_gradients(step: int, policy: Policy) -> None:
    """Raises `NotFinite` naming the first parameter whose gradient is not finite."""
    for name, p in policy.trainable_state().items():
        if p.grad is not None and not torch.isfinite(p.grad).all():
            raise NotFinite(
                f"step {step}: the gradient of {name} is not finite. No update was made. Lower learning_rate or max_grad_norm.")
