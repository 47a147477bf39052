"""Counting what a computation on the meta device would allocate: live bytes, their peak, and what
they were at the peak.

On the meta device every operation makes tensors with a shape and no memory, so the forward and
backward of a model of any size run in a moment. Each storage counts from the operation that made it
until it is let go, as in a real allocator without waste; work space inside a kernel is not seen.
Autograd keeps and drops what it keeps and drops in earnest.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

HEAP_LIMIT = 32 * 1024**2
"""glibc cuts what is smaller out of its heap, which keeps its size when they are freed; a larger
one is given back to the system."""


@dataclass
class Peak:
    """The most bytes at once, and of them those of tensors as wide as the vocabulary (`logits`).

    small, large   the most bytes at once in storages below `HEAP_LIMIT`, and in the others
    """

    bytes: int = 0
    logits: int = 0
    small: int = 0
    large: int = 0

    @property
    def others(self) -> int:
        """Bytes that are no logits."""
        return self.bytes - self.logits


@dataclass
class _Live:
    bytes: int = 0
    logits: int = 0
    small: int = 0
    storages: dict[int, Any] = field(default_factory=dict)


class Allocations(TorchDispatchMode):
    """Inside, every new storage on the meta device is counted. `known` (weights, gradients, a
    cache) is not.

    vocabulary   tensors whose last dimension is this are logits
    """

    def __init__(self, known: Iterable[Tensor] = (), vocabulary: int = -1) -> None:
        super().__init__()
        self.vocabulary, self.peak, self._live = vocabulary, Peak(), _Live()
        self._known = [
            t.untyped_storage() for t in known
        ]  # held, so that no new storage gets the address of an old one
        self._known_addresses = {s._cdata for s in self._known}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.device.type == "meta":
                self._see(tensor)
        return result

    @property
    def live(self) -> int:
        """Bytes alive now."""
        return self._live.bytes

    def _see(self, tensor: Tensor) -> None:
        storage, live = tensor.untyped_storage(), self._live
        address = storage._cdata
        if address in live.storages or address in self._known_addresses:
            return
        size = storage.nbytes()
        logits = size if tensor.dim() and tensor.shape[-1] == self.vocabulary else 0
        small = size if size < HEAP_LIMIT else 0

        def gone(_: Any) -> None:
            live.storages.pop(address)
            live.bytes -= size
            live.logits -= logits
            live.small -= small

        live.storages[address] = weakref.ref(storage, gone)
        live.bytes += size
        live.logits += logits
        live.small += small
        self._mark()

    def _mark(self) -> None:
        live, peak = self._live, self.peak
        peak.small, peak.large = (
            max(peak.small, live.small),
            max(peak.large, live.bytes - live.small),
        )
        if live.bytes > peak.bytes:
            peak.bytes, peak.logits = live.bytes, live.logits


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages of these tensors, each storage once (tied weights share one)."""
    sizes = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(sizes.values())


def on_meta(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor without memory."""
    return torch.empty(shape, dtype=dtype, device="meta")
