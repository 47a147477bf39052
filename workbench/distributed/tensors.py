"""Objects as bytes, tensors in buckets, and work in fair shares."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.devices import default_device

BUCKET = 32 * 2**20
"""Bytes that are summed at once: many small tensors cost as much time as one large one, and a copy
of all of them would cost memory."""


class _Pickler(pickle.Pickler):
    """Tensors on a GPU go by the CPU and arrive on the GPU of whoever reads them."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.device.type != "cpu":
            return _on_own_device, (value.detach().cpu(),)
        return NotImplemented


def _on_own_device(value: Tensor) -> Tensor:
    return value.to(default_device())


def as_bytes(value: Any) -> Tensor:
    """The object as a tensor of bytes, for processes of one's own alone: it is pickled."""
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return torch.frombuffer(file.getbuffer(), dtype=torch.uint8)


def from_bytes(data: Tensor) -> Any:
    """The object that `as_bytes` was given."""
    return pickle.loads(data.numpy().tobytes())


def in_buckets(tensors: Sequence[Tensor], limit: int = BUCKET) -> Iterator[list[Tensor]]:
    """The tensors in order, in lists of one number format and of `limit` bytes; a larger one is
    alone."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        size = sum(t.nbytes for t in bucket) + tensor.nbytes
        if bucket and (size > limit or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def share_out(costs: Sequence[float], shares: int) -> list[list[int]]:
    """The places of `costs` in so many shares of about the same sum, each in ascending order: the
    dearest goes first, to whoever has least. The same for the same costs, in every process."""
    taken: list[list[int]] = [[] for _ in range(shares)]
    sums = [0.0] * shares
    for place in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = min(range(shares), key=lambda share: (sums[share], len(taken[share]), share))
        taken[least].append(place)
        sums[least] += costs[place]
    return [sorted(places) for places in taken]
