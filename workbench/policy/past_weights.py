"""The weights of earlier steps, for a sampler that lags: on purpose (`rollout_staleness`, as in a
pipeline whose sampler runs beside the trainer), or by a fault."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from workbench.policy.policy import Policy
from workbench.policy.reference import swapped_weights

FILE = "past_weights"
"""The checkpoint's file of them."""


class PastWeights:
    """What training changes, as it stood before each of the last `count` steps that were kept."""

    def __init__(self, policy: Policy, count: int) -> None:
        self._policy = policy
        self._kept: deque[tuple[int, dict[str, Tensor]]] = deque(maxlen=count)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the policy's model is the oldest that is kept; the one of now, where none is."""
        if not self._kept:
            yield
            return
        with swapped_weights(self._policy.trainable_state(), self._kept[0][1]):
            yield

    def keep(self, step: int) -> None:
        """Keep the weights that this step begins with. A step before the last one kept comes after
        a rewind, and begins anew."""
        if self._kept and self._kept[-1][0] > step:
            self._kept.clear()
        if self._kept.maxlen and not (self._kept and self._kept[-1][0] == step):
            self._kept.append((step, self._policy.copy_trainable_state()))

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of it; nothing where nothing is kept."""
        if not self._kept:
            return {}
        named = {
            f"{step}/{name}": weight for step, kept in self._kept for name, weight in kept.items()
        }
        return {FILE: named}

    def load(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Take over what a checkpoint holds."""
        self._kept.clear()
        own = self._policy.trainable_state()
        by_step: dict[int, dict[str, Tensor]] = {}
        for key, weight in tensors.get(FILE, {}).items():
            step, name = key.split("/", 1)
            by_step.setdefault(int(step), {})[name] = weight.to(own[name].device, own[name].dtype)
        self._kept.extend(sorted(by_step.items()))
