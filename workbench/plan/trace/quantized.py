"""The layers of a quantised base on the meta device: they take what those of bitsandbytes do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from workbench.plan.trace.allocations import on_meta

SINGLE = "nf4, scales in float32"
"""4 bits without double quantisation, as some models' files have them."""
BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share one scale in NF4, and scales that share one scale in its double quantisation
(bitsandbytes)."""


def scale_bytes(kind: str, outputs: int, inputs: int) -> int:
    """Bytes that a quantised weight needs beside its codes.

    nf4: a byte for each block of 64 weights, a float32 for each 256 of those, an offset and the two
    tables of 16 and 256 numbers that bitsandbytes keeps with every weight. Without double
    quantisation: a float32 for each block, and one table. int8: a float32 for each row.
    """
    if kind == "int8":
        return 4 * outputs
    blocks = math.ceil(outputs * inputs / BLOCK)
    if kind == SINGLE:
        return 4 * (blocks + 16)
    return blocks + 4 * math.ceil(blocks / NESTED_BLOCK) + 4 + 4 * (16 + 256)


def code_bytes(kind: str, outputs: int, inputs: int) -> int:
    """Bytes of the codes of a quantised weight."""
    return outputs * inputs if kind == "int8" else (outputs * inputs + 1) // 2


class QuantizedLinear(nn.Module):
    """What a bitsandbytes layer takes: codes, scales, and for the moment of a product the weight in
    floating point."""

    def __init__(self, layer: nn.Module, kind: str) -> None:
        super().__init__()
        weight: Tensor = layer.weight  # type: ignore[assignment]
        from workbench.libraries.hf_transformers import Conv1D

        inputs, outputs = weight.shape if isinstance(layer, Conv1D) else weight.shape[::-1]
        self.in_features, self.out_features, self.kind, self.dtype = (
            inputs,
            outputs,
            kind,
            weight.dtype,
        )
        self.weight = nn.Parameter(
            on_meta(code_bytes(kind, outputs, inputs), dtype=torch.uint8), requires_grad=False
        )
        self.register_buffer(
            "scales", on_meta(scale_bytes(kind, outputs, inputs), dtype=torch.uint8)
        )
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        y = _Product.apply(x.to(self.dtype), self.out_features, self.kind == "int8")  # type: ignore[no-untyped-call]
        out: Tensor = y if self.bias is None else y + self.bias
        return out


class _Product(torch.autograd.Function):
    """x W^T with W made for the moment, in the forward and again in the backward; int8 keeps x, as
    bitsandbytes does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, outputs: int, keeps_x: bool) -> Tensor:
        weight = on_meta(outputs, x.shape[-1], dtype=x.dtype)
        ctx.outputs, ctx.inputs = outputs, x.shape[-1]
        if keeps_x:
            ctx.save_for_backward(x)
        return nn.functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        weight = on_meta(ctx.outputs, ctx.inputs, dtype=gradients[0].dtype)
        return gradients[0] @ weight, None, None


def quantize(model: Any, chosen: set[int], kind: str) -> None:
    """Put a `QuantizedLinear` in the place of each layer whose id is among `chosen`."""
    for name, module in list(model.named_modules()):
        if id(module) in chosen:
            model.set_submodule(name, QuantizedLinear(module, kind))
