"""torch: what it keeps under names of its own (storages, versions, buffers that are not saved, the
dispatcher, one fused kernel).

Held against the installed version by `tests/libraries/test_torch.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = [
    "TorchDispatchMode",
    "change_count",
    "fused_attention",
    "persistent_buffers",
    "storage_key",
    "tree_leaves",
]


def storage_key(tensor: Tensor) -> int:
    """Equal for two tensors that share their memory, as long as one of them lives."""
    key: int = tensor.untyped_storage()._cdata
    return key


def change_count(tensor: Tensor) -> int:
    """How often torch has changed this tensor in place; what writes through pointers is not
    counted."""
    return tensor._version


def persistent_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of each buffer that a checkpoint holds, one under each of its names."""
    for prefix, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                yield f"{prefix}.{name}" if prefix else name, buffer


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
) -> Tensor:
    """Attention by the fused kernel of a CPU, which the meta device has, too: it allocates the
    output and its log-sum-exp, and no matrix of weights."""
    found: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, attn_mask=mask, scale=scale
    )
    output: Tensor = found[0]
    return output
