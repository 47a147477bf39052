"""Which number format the weights have, by device, and in which one the arithmetic is done.

Weights that are trained stay float32: steps of a real learning rate (1e-6) are far below the
spacing of bfloat16 numbers and would be rounded away. On a GPU that has bfloat16 their arithmetic
is done in it, under autocast. Frozen weights under an adapter can be 16 bits wide; the adapter
itself is float32.
"""

from __future__ import annotations

import functools
import math
from types import MethodType
from typing import Any

import torch

from workbench.libraries.devices import has_mps_bfloat16
from workbench.policy.policy import PolicyError

NAMED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DtypeLike = torch.dtype | str | None
"""A torch dtype, its name, or None or "auto" for the choice by device."""


def weight_dtype(dtype: DtypeLike, device: torch.device, frozen: bool) -> torch.dtype:
    """The format of the weights (of the base, where an adapter is trained: `frozen`). Raises
    `PolicyError`."""
    if dtype is None or dtype == "auto":
        if device.type != "cuda" or not frozen:
            return torch.float32
        return torch.bfloat16 if has_bfloat16(device) else torch.float16
    chosen = NAMED.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in NAMED.values():
        raise PolicyError(f"dtype={dtype!r} is unknown. Use 'auto' or one of {', '.join(NAMED)}.")
    if chosen == torch.bfloat16 and device.type == "cuda" and not has_bfloat16(device):
        raise PolicyError(no_bfloat16(dtype, torch.cuda.get_device_name(device)))
    if chosen == torch.bfloat16 and device.type == "mps" and not has_mps_bfloat16():
        raise PolicyError(no_bfloat16(dtype, "Apple's GPU before macOS 14"))
    return chosen


def no_bfloat16(dtype: DtypeLike, name: str) -> str:
    """What is said where bfloat16 is asked for on a GPU without it; the plan says it, too."""
    return f"dtype={dtype!r}: {name} has no bfloat16. Use dtype='auto' or 'float16'."


def has_bfloat16(device: torch.device) -> bool:
    """True when the GPU computes in bfloat16 itself (a T4 only imitates it, slowly)."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def wants_autocast(dtype: DtypeLike, device: torch.device, frozen: bool) -> bool:
    """True for float32 weights, all trained, on a GPU with bfloat16, unless float32 was asked for
    by name."""
    return dtype in (None, "auto") and not frozen and device.type == "cuda" and has_bfloat16(device)


def compute_in_bfloat16(model: Any) -> None:
    """From now on every forward of `model` runs under autocast: sampler and trainer compute alike,
    and so agree."""
    plain = type(model).forward
    device = model.device.type

    @functools.wraps(plain)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return plain(self, *args, **kwargs)

    # Bound to the model, so that a deep copy (a critic) runs its own weights and not the model's.
    model.forward = MethodType(forward, model)


def loss_scale(weights: torch.dtype, tokens: float) -> float:
    """What a loss that is a mean over so many tokens is multiplied with during the backward pass,
    and the gradient divided by after it: 1, but for float16.

    A token's part of the gradient is about 1/tokens, which float16 (smallest normal number 6e-5)
    rounds away on its way through the frozen layers. The power of two next to the number of tokens
    makes it about 1, exactly undone afterwards in the float32 gradient of the adapter. It depends
    on the batch alone: no scaler has a state that a checkpoint would have to keep.
    """
    if weights != torch.float16:
        return 1.0
    return 2.0 ** round(math.log2(max(tokens, 1.0)))
