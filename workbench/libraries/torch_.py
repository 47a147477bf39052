"""torch: what it keeps under names of its own (storages, versions, buffers that are not saved, the
dispatcher, one fused kernel).

Held against the installed version by `tests/libraries/test_torch.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from workbench.libraries.devices import default_device, mps_generator_kept

__all__ = [
    "FileStore",
    "PrefixStore",
    "Store",
    "TCPStore",
    "TorchDispatchMode",
    "attend_without_cudnn",
    "attention_part",
    "attention_part_backward",
    "change_count",
    "fork_rng",
    "fused_attention",
    "gloo_group",
    "nccl_group",
    "persistent_buffers",
    "seed_global_generators",
    "storage_key",
    "tree_leaves",
]


def fork_rng(device: torch.device | None = None) -> AbstractContextManager[None]:
    """`torch.random.fork_rng` for the CPU and `device` alone: by itself it would save the state of
    every GPU, and warn of many.

    None means the device that is taken where none is named.
    """
    device = device or default_device()
    if device.type == "mps":
        return _forked_with_mps()
    devices = [device] if device.type == "cuda" else []
    forked: AbstractContextManager[None] = torch.random.fork_rng(devices=devices)
    return forked


@contextmanager
def _forked_with_mps() -> Iterator[None]:
    """torch's own fork knows devices by number, which Apple's GPU has not."""
    with torch.random.fork_rng(devices=[]), mps_generator_kept():
        yield


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Seed the CPU's global generator, and the GPU's where `device` is one."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)


def attend_without_cudnn() -> None:
    """From now on this process computes attention on a GPU by the other fused kernels.

    On Hopper cards torch takes cuDNN's first, which builds an execution plan for every new shape:
    7 ms a layer and token on an H200, where a cache that grows and rows that finish make each
    token's shape a new one; two thirds of a step went there. The flag is torch's and holds for the
    whole process, so that a forward repeated in a backward pass (checkpointing) finds the same
    kernel.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


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


def attention_part(
    query: Tensor, key: Tensor, value: Tensor, is_causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Attention over some of the keys by the fused kernel of a CPU, and the log-sum-exp of their
    scores (batch, heads, queries): with it, parts over other keys can be put together."""
    found: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, scale=scale
    )
    output, norm = found
    return output, norm


def attention_part_backward(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    norm: Tensor,
    is_causal: bool,
    scale: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What this part of the keys adds to the gradients of query, key and value. `output` and `norm`
    are those of the whole softmax: the kernel makes each weight anew as exp(score - norm)."""
    found: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        gradient, query, key, value, output, norm, 0.0, is_causal, scale=scale
    )
    by_query, by_key, by_value = found
    return by_query, by_key, by_value


def gloo_group(store: Any, rank: int, size: int, timeout: timedelta) -> Any:
    """A group of processes that exchange tensors on the CPU, beside torch's default group. Its
    calls give what `is_completed` and `wait` are asked of. Blocks until all are there."""
    return torch.distributed.ProcessGroupGloo(store, rank, size, timeout)


def nccl_group(store: Any, rank: int, size: int, timeout: timedelta) -> Any:
    """The same for tensors on GPUs, each process on one of its own."""
    options = torch.distributed.ProcessGroupNCCL.Options()
    options._timeout = timeout
    return torch.distributed.ProcessGroupNCCL(store, rank, size, options)
