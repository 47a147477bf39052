"""Counting what a computation would allocate: live bytes, their peak, and what they were at the
peak.

On the meta device every operation makes tensors with a shape and no memory, so the forward and
backward of a model of any size run in a moment. Each storage counts from the operation that made it
until it is let go, as in a real allocator without waste; work space inside a kernel is not seen.
Autograd keeps and drops what it keeps and drops in earnest. On a CPU the same counts real storages,
against which the count on the meta device is held.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.torch_ import TorchDispatchMode, storage_key, tree_leaves
from workbench.plan.trace.remembered import on_meta_device

HEAP_LIMIT = 32 * 1024**2
"""glibc cuts what is smaller out of its heap, which keeps its size when they are freed; a larger
one is given back to the system."""


@dataclass
class Moment:
    """The most bytes at once in one part of the computation."""

    bytes: int = 0
    """Of everything that was made."""
    logits: int = 0
    """Of them, those of tensors as wide as the vocabulary."""

    @property
    def others(self) -> int:
        """Bytes that are no logits."""
        return self.bytes - self.logits


@dataclass
class Peak(Moment):
    """The most bytes at once in all of it."""

    small: int = 0
    """The most bytes at once in storages below `HEAP_LIMIT` ..."""
    large: int = 0
    """... and in the others."""
    moments: dict[str, Moment] = field(default_factory=dict)
    """The same by part of the computation, in order. A part that is no multiple of the layers may
    hold the most in a shallow model and not in a deep one, so each is followed by itself."""


@dataclass
class _Live:
    """What is alive now."""

    bytes: int = 0
    logits: int = 0
    small: int = 0
    storages: dict[int, Any] = field(default_factory=dict)
    """Key of a storage -> a weak reference that says when it is gone."""


class Allocations(TorchDispatchMode):
    """Inside, every new storage on `device` is counted. `known` (weights, gradients, a cache) is
    not.

    vocabulary: tensors whose last dimension is this are logits.
    """

    def __init__(
        self, known: Iterable[Tensor] = (), vocabulary: int = -1, device: str = "meta"
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.vocabulary = vocabulary
        self.device = device
        self.peak = Peak()
        self._live = _Live()
        self.begin("all")
        # Held, so that no new storage gets the key of an old one.
        self._known = list(known)
        self._known_keys = {storage_key(tensor) for tensor in self._known}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        call = on_meta_device if self.device == "meta" else _called
        result = call(function, args, kwargs or {})
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.device.type == self.device:
                self._see(tensor)
        return result

    def begin(self, moment: str) -> None:
        """What is alive from now on counts for that part of the computation."""
        self._moment = self.peak.moments.setdefault(moment, Moment())
        self._raise(self._moment)

    @property
    def live(self) -> int:
        """Bytes alive now."""
        return self._live.bytes

    def _see(self, tensor: Tensor) -> None:
        """Count the storage of `tensor` where it is new, until it is gone."""
        live = self._live
        key = storage_key(tensor)
        if key in live.storages or key in self._known_keys:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        logits = size if tensor.dim() and tensor.shape[-1] == self.vocabulary else 0
        small = size if size < HEAP_LIMIT else 0

        def gone(_: Any) -> None:
            live.storages.pop(key)
            live.bytes -= size
            live.logits -= logits
            live.small -= small

        live.storages[key] = weakref.ref(storage, gone)
        live.bytes += size
        live.logits += logits
        live.small += small
        self._update_peak()

    def _update_peak(self) -> None:
        live = self._live
        peak = self.peak
        peak.small = max(peak.small, live.small)
        peak.large = max(peak.large, live.bytes - live.small)
        self._raise(peak)
        self._raise(self._moment)

    def _raise(self, known: Moment) -> None:
        """Let `known` be what is alive now, where that is more."""
        if self._live.bytes > known.bytes:
            known.bytes = self._live.bytes
            known.logits = self._live.logits


def _called(function: Any, args: Any, kwargs: Any) -> Any:
    return function(*args, **kwargs)


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages of these tensors, each storage once (tied weights share one)."""
    sizes = {storage_key(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(sizes.values())


def on_meta(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor without memory."""
    return torch.empty(shape, dtype=dtype, device="meta")
