"""The reference policy of the KL term: the adapter switched off, or a copy of the trained weights
held aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from workbench.libraries.hf_peft import starts_at_zero
from workbench.policy.policy import Policy


class Reference:
    """The policy as it was at the start, or at the last refresh.

    With a fresh LoRA adapter nothing is kept: switching it off gives the model as it was. Otherwise
    (all weights, or an adapter that had been trained before), and after a refresh, `weights` holds
    a copy of what training changes, which is swapped in while the reference is asked; those of a
    checkpoint come on the CPU and are put where the policy is.
    """

    def __init__(self, policy: Policy, weights: dict[str, Tensor] | None = None) -> None:
        self.policy = policy
        self.weights: dict[str, Tensor] | None = None
        own = policy.trainable_state()
        first = own if weights is None else weights
        if policy.has_adapter and changes_nothing(first):
            return
        self.weights = {
            name: w.detach().to(own[name].device, own[name].dtype, copy=weights is None)
            for name, w in first.items()
        }

    @classmethod
    def of_base(cls, policy: Policy) -> Reference:
        """The policy with its adapter switched off, of which `kind` is 'adapter'."""
        reference = cls.__new__(cls)
        reference.policy = policy
        reference.weights = None
        return reference

    @property
    def kind(self) -> str:
        """'adapter' or 'copy'."""
        return "adapter" if self.weights is None else "copy"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the policy's model computes with the reference's weights; no gradient is
        recorded."""
        with torch.no_grad():
            if self.weights is None:
                with self.policy.model.disable_adapter():
                    yield
            else:
                with swapped_weights(self.policy.trainable_state(), self.weights):
                    yield

    @torch.no_grad()
    def mix_in_policy(self, alpha: float) -> None:
        """reference := alpha x policy + (1 - alpha) x reference (TR-DPO, arXiv 2404.09656); alpha 1
        = DeepSeekMath's refresh.

        With an adapter it is the adapter's matrices that are mixed, as in TRL, starting from the
        adapter's zero.
        """
        own = self.policy.trainable_state()
        if self.weights is None:
            self.weights = {
                k: torch.zeros_like(p) if starts_at_zero(k) else p.detach().clone()
                for k, p in own.items()
            }
        for name, kept in self.weights.items():
            kept.lerp_(own[name].to(kept.dtype), alpha)


def costs_no_big_copy(policy: Policy) -> bool:
    """True where a reference needs no second copy of a big model: an adapter is switched off, and
    the embedded policy is small."""
    return policy.has_adapter or policy.source == "embedded"


def changes_nothing(adapter: dict[str, Tensor]) -> bool:
    """True for the weights of a fresh adapter, of which one factor is 0: with it the model computes
    what it does without."""
    return not any(bool(w.any()) for name, w in adapter.items() if starts_at_zero(name))


@contextmanager
def swapped_weights(parameters: dict[str, Tensor], weights: dict[str, Tensor]) -> Iterator[None]:
    """Point the parameters at other storage for a while; nothing is copied."""
    own = {name: p.data for name, p in parameters.items()}
    try:
        for name, p in parameters.items():
            p.data = weights[name]
        yield
    finally:
        for name, p in parameters.items():
            p.data = own[name]
