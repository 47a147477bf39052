"""A key-value cache of fixed capacity, written in place, and the test whether a model can be served with it.

transformers' `DynamicCache` concatenates all keys and values at every token; here each token writes its own column.
The rows can be multiplied (one prefill of a prompt, G completions of it) and dropped (finished completions).
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer


class PreallocatedLayer(DynamicLayer):
    """Keys and values of one attention layer, (rows, heads, capacity, head size), in place.

    `keys` and `values` are views of the filled part, as in the layer that it replaces.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._allocate(key_states[:, :, :0], value_states[:, :, :0])
        self.is_initialized = True

    def _allocate(self, keys: Tensor, values: Tensor) -> None:
        """New storage that begins with `keys` and `values`."""
        self._key_storage = keys.new_empty(*keys.shape[:2], self.capacity, keys.shape[3])
        self._value_storage = values.new_empty(*values.shape[:2], self.capacity, values.shape[3])
        self._write(0, keys, values)

    def _write(self, begin: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put the tokens at `begin`, where the filled part then ends behind them; returns the filled part."""
        end = begin + keys.shape[2]
        if end > self.capacity:
            raise ValueError(
                f"the cache holds {self.capacity} tokens a row, {end} were written. Raise its capacity."
            )
        self._key_storage[:, :, begin:end] = keys
        self._value_storage[:, :, begin:end] = values
        return self._filled(end)

    def _filled(self, end: int) -> tuple[Tensor, Tensor]:
        keys, values = self._key_storage[:, :, :end], self._value_storage[:, :, :end]
        self.keys, self.values = keys, values
        return keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the keys and values of the new tokens; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._write(self.get_seq_length(), key_states, value_states)

    def _pick_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the filled part of those rows."""
        keys, values = self._filled(self.get_seq_length())
        rows = rows.to(self.device)
        return keys.index_select(0, rows), values.index_select(0, rows)

    def expand_rows(self, rows: Tensor, capacity: int) -> None:
        """Row i becomes a copy of row `rows[i]`, with room for `capacity` tokens."""
        self.capacity = capacity
        self._allocate(*self._pick_rows(rows))

    def keep_rows(self, rows: Tensor) -> None:
        """Only those rows stay, in the storage that is there."""
        keys, values = self._pick_rows(rows)
        self._key_storage = self._key_storage[: rows.numel()]
        self._value_storage = self._value_storage[: rows.numel()]
        self._write(0, keys, values)

    def batch_select_indices(self, indices: Tensor) -> None:
        self.keep_rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.expand_rows(
            torch.arange(len(self._key_storage)).repeat_interleave(repeats), self.capacity
        )

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.expand_rows(beam_idx, self.capacity)


class PreallocatedCache(Cache):
    """One `PreallocatedLayer` for each layer of the model; pass it as `past_key_values`."""

    def __init__(self, num_layers: int, capacity: int) -> None:
        self.preallocated = [PreallocatedLayer(capacity) for _ in range(num_layers)]
        super().__init__(layers=list(self.preallocated))

    def expand_rows(self, rows: Tensor, capacity: int) -> None:
        """Row i becomes a copy of row `rows[i]`, with room for `capacity` tokens: prompts become their completions."""
        for layer in self.preallocated:
            layer.expand_rows(rows, capacity)

    def keep_rows(self, rows: Tensor) -> None:
        """Only the rows at these indices stay."""
        for layer in self.preallocated:
            layer.keep_rows(rows)


def plain_model(model: Any) -> Any:
    """The transformers model under a PEFT wrapper (its adapter layers stay active), or the model itself.

    Raises ValueError for PEFT's prompt learning, whose virtual tokens only the wrapper adds.
    """
    if not hasattr(model, "get_base_model"):
        return model
    learned = [name for name, config in model.peft_config.items() if config.is_prompt_learning]
    if learned:
        raise ValueError(
            f"adapter {learned[0]!r} is prompt learning, which the rollout does not serve. Use LoRA."
        )
    return model.get_base_model()


def unsupported_reason(model: Any) -> str | None:
    """Why the native engine cannot serve `model`, as a clause, or None where it can.

    The test is transformers' own: the cache that `DynamicCache` would build for the config must hold plain full
    attention layers only, and the forward must take positions, a mask and a cache.
    """
    model = plain_model(model)
    config, name = model.config, type(model).__name__
    needed = ("input_ids", "attention_mask", "position_ids", "past_key_values")
    missing = [p for p in needed if p not in inspect.signature(model.forward).parameters]
    rules = [
        (config.is_encoder_decoder, "is an encoder-decoder model"),
        (getattr(config, "add_cross_attention", False), "has cross-attention"),
        (
            getattr(model, "_is_stateful", False),
            "keeps a recurrent state instead of a key-value cache",
        ),
        (config.get_text_config(decoder=True) is not config, "takes more than text"),
        (
            getattr(config, "alibi", False),
            "uses ALiBi, which derives positions from a mask of its own",
        ),
        (missing, f"has a forward without {', '.join(missing)}"),
    ]
    found = [reason for applies, reason in rules if applies] or _odd_layers(config)
    return f"{name} {found[0]}" if found else None


def _odd_layers(config: Any) -> list[str]:
    """The reason why the layers of the standard cache are not all plain full attention, where they are not."""
    layers = DynamicCache(config=config).layers
    odd = sorted({type(layer).__name__ for layer in layers if type(layer) is not DynamicLayer})
    if not odd and len(layers) == config.num_hidden_layers:
        return []
    kinds = sorted(set(getattr(config, "layer_types", None) or ["sliding_attention"]))
    caches = ", ".join(odd) or "none for some layers"
    return [
        f"has layers other than full attention (layer types: {', '.join(kinds)}; caches: {caches})"
    ]
