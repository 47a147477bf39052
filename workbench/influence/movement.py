"""How an optimizer turns pushes into movements of the weights, as a sum of parts.

A push is minus the gradient of a part of the loss. AdamW (arXiv 1711.05101, algorithm 2) moves by
rate x m - lr wd theta, where m = beta1 m_before + (1 - beta1) clip x (the sum of the pushes), and
rate = lr / (sqrt(v) + eps) with both bias corrections. With v as it was in this very update that is
linear in the pushes: those of this update, of the updates before it (through m) and of the steps
before, and the decay, add up to all of it. This is the one approximation beside first order:
without an answer v, too, would have been a little different.

Suffix: W trained weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.influence.gradients import flat
from workbench.influence.result import InfluenceError
from workbench.policy.policy import Policy


@dataclass(frozen=True)
class Movement:
    """What one update does."""

    rate_W: Tensor
    """What each weight's moment is multiplied with."""

    gain: float
    """What a push is multiplied with on its way into the moment: clipping, and 1 - beta1."""

    moment_before_W: Tensor
    """The moment of the pushes before this update, already decayed by beta1; 0 without momentum."""

    decay: float
    """The part of each weight that weight decay takes away."""

    def of(self, push_W: Tensor, start_W: Tensor) -> Tensor:
        """(W,) the whole movement of weights that stand at `start_W`, for the sum of the pushes of
        the update."""
        by_moment_W = self.rate_W * (self.moment_before_W + self.gain * push_W)
        return by_moment_W - self.decay * start_W


def clip_factor(gradient_W: Tensor, config: GRPOConfig) -> float:
    """What clipping to max_grad_norm multiplies the gradient with, as `clip_grad_norm_` does."""
    if config.max_grad_norm == 0:
        return 1.0
    return min(1.0, config.max_grad_norm / (float(gradient_W.norm()) + 1e-6))


def adamw_movement(
    policy: Policy, optimizer: torch.optim.Optimizer, gradient_W: Tensor, config: GRPOConfig
) -> Movement:
    """What the next step of `optimizer` will do. Raises `InfluenceError` for moments in 8 bits."""
    if not isinstance(optimizer, torch.optim.AdamW):
        raise InfluenceError(
            f"optim={config.optim!r} keeps its moments in 8 bits, so that its movement has no "
            "parts that add up. Ask with optimizer='sgd', the Gram matrix of the gradients."
        )
    clip = clip_factor(gradient_W, config)
    group = optimizer.param_groups[0]
    beta1, beta2 = group["betas"]
    parameters = policy.trainable_parameters()
    states = [optimizer.state.get(p, {}) for p in parameters]
    pairs = list(zip(parameters, states, strict=True))
    # Before its first step the optimizer has no moments, which is the same as zeros.
    first_W = flat(state.get("exp_avg", torch.zeros_like(p)) for p, state in pairs)
    second_W = flat(state.get("exp_avg_sq", torch.zeros_like(p)) for p, state in pairs)
    steps = float(states[0].get("step", 0.0)) + 1
    second_W = beta2 * second_W + (1 - beta2) * (clip * gradient_W).square()
    root_W = (second_W / (1 - beta2**steps)).sqrt() + group["eps"]
    return Movement(
        rate_W=group["lr"] / (1 - beta1**steps) / root_W,
        gain=(1 - beta1) * clip,
        # The optimizer's is of gradients, which point the other way.
        moment_before_W=-beta1 * first_W,
        decay=group["lr"] * group["weight_decay"],
    )


def sgd_movement(gradient_W: Tensor, length: float) -> Movement:
    """A step of plain SGD along the gradient, `length` long: no momentum, no decay.

    By its length and not by a learning rate, because AdamW's learning rate means nothing to SGD: of
    the same length as the run's own update both move the policy comparably far.
    """
    norm = float(gradient_W.norm())
    factor = length / norm if norm > 0 else 0.0
    nothing_W = torch.zeros_like(gradient_W)
    return Movement(torch.full_like(gradient_W, factor), 1.0, nothing_W, 0.0)
