"""A key-value cache of fixed capacity, written in place.

transformers' `DynamicCache` concatenates all keys and values at every token; here each token writes
its own column. The rows can be multiplied (one prefill of a prompt, G completions of it) and
dropped (finished completions).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_transformers import Cache, DynamicLayer


class PreallocatedLayer(DynamicLayer):
    """Keys and values of one attention layer, (rows, heads, capacity, head size), in place.

    `keys` and `values` are views of the filled part, as in the layer that it replaces.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity = capacity

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        # Only the form is taken from the first tokens; `update` then writes them like all others.
        self._allocate(key_states[:, :, :0], value_states[:, :, :0])
        self.is_initialized = True

    def _allocate(self, keys: Tensor, values: Tensor) -> None:
        """New storage that begins with `keys` and `values`."""
        self._key_storage = keys.new_empty(*keys.shape[:2], self.capacity, keys.shape[3])
        self._value_storage = values.new_empty(*values.shape[:2], self.capacity, values.shape[3])
        self._write(0, keys, values)

    def _write(self, begin: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put the tokens at `begin`, where the filled part then ends behind them; returns the
        filled part."""
        end = begin + keys.shape[2]
        if end > self.capacity:
            raise ValueError(
                f"the cache holds {self.capacity} tokens a row, {end} were written. Raise its "
                "capacity."
            )
        self._key_storage[:, :, begin:end] = keys
        self._value_storage[:, :, begin:end] = values
        return self._filled(end)

    def _filled(self, end: int) -> tuple[Tensor, Tensor]:
        keys, values = self._key_storage[:, :, :end], self._value_storage[:, :, :end]
        # transformers reads a cache's length from `keys`, so the views follow every write.
        self.keys, self.values = keys, values
        return keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the keys and values of the new tokens; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._write(self.get_seq_length(), key_states, value_states)

    def picked(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the filled part of those rows."""
        keys, values = self._filled(self.get_seq_length())
        # The indices may come from another device than this layer is on.
        rows = rows.to(self.device)
        return keys.index_select(0, rows), values.index_select(0, rows)

    def expand_rows(self, rows: Tensor, capacity: int) -> None:
        """Row i becomes a copy of row `rows[i]`, with room for `capacity` tokens."""
        self.capacity = capacity
        # New storage, since the rows and their room both grow.
        self._allocate(*self.picked(rows))

    def keep_rows(self, rows: Tensor) -> None:
        """Only those rows stay, in the storage that is there."""
        keys, values = self.picked(rows)
        # A view of the first rows: no second cache of full capacity is allocated in mid-rollout.
        # The copies from above make the order of writing safe.
        self._key_storage = self._key_storage[: rows.numel()]
        self._value_storage = self._value_storage[: rows.numel()]
        self._write(0, keys, values)

    # The next three are transformers' names for the same, for code that knows only `Cache`.
    def batch_select_indices(self, indices: Tensor) -> None:
        self.keep_rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.expand_rows(
            torch.arange(len(self._key_storage)).repeat_interleave(repeats), self.capacity
        )

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.expand_rows(beam_idx, self.capacity)


class PreallocatedCache(Cache):
    """One `PreallocatedLayer` for each layer of the model; pass it to `forward_with_cache`."""

    def __init__(self, num_layers: int, capacity: int) -> None:
        self.preallocated = [PreallocatedLayer(capacity) for _ in range(num_layers)]
        super().__init__(layers=list(self.preallocated))

    def expand_rows(self, rows: Tensor, capacity: int) -> None:
        """Row i becomes a copy of row `rows[i]`, with room for `capacity` tokens: prompts become
        their completions."""
        for layer in self.preallocated:
            layer.expand_rows(rows, capacity)

    def keep_rows(self, rows: Tensor) -> None:
        """Only the rows at these indices stay."""
        for layer in self.preallocated:
            layer.keep_rows(rows)
