"""Small functions that several tests use."""

from __future__ import annotations

import torch
from torch import Tensor


def digits_reward(completions, **columns) -> list[float]:
    """The share of digits in the text: graded, so that few groups are dead even with a random
    policy."""
    texts = [c[0]["content"] for c in completions]
    return [sum(ch.isdigit() for ch in t) / max(len(t), 1) for t in texts]


def weights_of(trainer) -> dict[str, Tensor]:
    """A copy of what training changes."""
    return {name: p.detach().clone() for name, p in trainer.policy.trainable_state().items()}


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """True when both hold the same names with bitwise equal values."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
