"""The policy as training would hold it, on the meta device: right formats, adapter, quantised
layers, and no memory.

Parameter counts and bytes are read off it, and `trace` runs its forward and backward. Any
architecture that transformers can build will do.
"""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.config import GRPOConfig
from workbench.libraries.hf_peft import is_of_adapter
from workbench.libraries.hf_transformers import checkpoint_activations
from workbench.plan.devices import Device
from workbench.plan.shapes import Shape
from workbench.plan.trace.allocations import on_meta, storage_bytes
from workbench.plan.trace.attention import use_fused_attention
from workbench.policy.adapter import with_adapter
from workbench.policy.for_config import lora_of
from workbench.policy.head import plan_for

SINGLE = "nf4, scales in float32"
"""4 bits without double quantisation, as some models' files have them."""
BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share one scale in NF4, and scales that share one scale in its double quantisation
(bitsandbytes)."""


@dataclass(frozen=True)
class Skeleton:
    """A policy on the meta device."""

    model: Any
    """The model, with an adapter around it where one is trained."""
    dtype: torch.dtype
    """The format of its unquantised weights."""
    body: int
    """Multiplying parameters (2 operations a token each) of the layers ..."""
    head: int
    """... and of the output head."""
    weights: int
    """Bytes of the base's weights ..."""
    constants: int
    """... of the scales of quantised ones ..."""
    adapter: int
    """... and of the adapter."""
    trained: list[Tensor]
    """The parameters that the optimizer moves."""
    autocast: bool
    """Whether its float32 weights are multiplied in bfloat16."""
    file_itemsize: int = 2
    """Bytes of a weight in the model's file, as its config says; 2 where it does not."""

    @property
    def known(self) -> list[Tensor]:
        """What stands in memory all the time."""
        return [*self.model.parameters(), *self.model.buffers()]

    @property
    def weights_in_floating_point(self) -> int:
        """Bytes of the base's weights if none were quantised, as another engine would hold them."""
        quantised = [m for m in self.model.modules() if isinstance(m, QuantizedLinear)]
        return self.weights + sum(
            m.out_features * m.in_features * self.dtype.itemsize - m.weight.numel()
            for m in quantised
        )

    @property
    def numbers(self) -> int:
        """Weights of the base; a quantised one counts for each number that it stands for."""
        return self.weights_in_floating_point // self.dtype.itemsize

    @property
    def plain_config(self) -> Any:
        """The text model's config."""
        return self.model.config.get_text_config(decoder=True)


def dtype_for(config: GRPOConfig, device: Device) -> torch.dtype:
    """The weights' format; the rule of `workbench.policy.dtype`, for a device that need not be
    here."""
    if config.dtype != "auto":
        named: torch.dtype = getattr(torch, config.dtype)
        return named
    if device.kind != "cuda" or config.lora_rank == 0:
        return torch.float32
    return torch.bfloat16 if device.has_bfloat16 else torch.float16


def computes_in_bfloat16(config: GRPOConfig, device: Device) -> bool:
    """True where float32 weights are trained under autocast; as `wants_autocast`."""
    return (
        config.dtype == "auto"
        and config.lora_rank == 0
        and device.kind == "cuda"
        and device.has_bfloat16
    )


def skeleton(shape: Shape, config: GRPOConfig, device: Device) -> Skeleton:
    """The policy of `shape` as `config` would train it on `device`. Raises what transformers raises
    for a config it cannot build."""
    from transformers import AutoModelForCausalLM

    dtype = dtype_for(config, device)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = AutoModelForCausalLM.from_config(copy.deepcopy(shape.config), dtype=dtype)
        model.requires_grad_(config.lora_rank == 0)
        head = model.get_output_embeddings()
        named = {n: m for n, m in model.named_modules() if is_linear(m) and m is not head}
        linear = list(named.values())
        body, width = sum(m.weight.numel() for m in linear), head.weight.numel()
        if config.lora_rank > 0:
            model = with_adapter(model, lora_of(config), 0, shape.name)
    kind, skipped = quantized_as(shape, config)
    if kind is not None:
        _quantize(model, {id(m) for n, m in named.items() if not _is_skipped(n, skipped)}, kind)
    model.eval()
    autocast = computes_in_bfloat16(config, device)
    plan_for(model, device.kind, torch.bfloat16 if autocast else None)
    use_fused_attention(model)
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    base = [t for n, t in _tensors(model) if not n.endswith("scales") and not is_of_adapter(n)]
    return Skeleton(
        model=model,
        dtype=dtype,
        body=body,
        head=width,
        weights=storage_bytes(base),
        constants=storage_bytes(t for n, t in _tensors(model) if n.endswith("scales")),
        adapter=storage_bytes(t for n, t in _tensors(model) if is_of_adapter(n)),
        trained=[p for p in model.parameters() if p.requires_grad],
        autocast=autocast,
        file_itemsize=getattr(getattr(shape.config, "dtype", None), "itemsize", 2),
    )


def quantized_as(shape: Shape, config: GRPOConfig) -> tuple[str | None, tuple[str, ...]]:
    """The kind in which the frozen base is held, "nf4", "int8" or "nf4, scales in float32", and the
    layers left out; None = not quantised."""
    if shape.stored is None:
        return (None if config.quantization == "none" else config.quantization), ()
    four = "nf4" if shape.stored.nested else SINGLE
    return "int8" if shape.stored.kind == "int8" else four, shape.stored.skipped


def _is_skipped(name: str, patterns: tuple[str, ...]) -> bool:
    """As transformers chooses: a whole name, the beginning of one, or its end."""
    return any(name == p or name.startswith(p + ".") or name.endswith("." + p) for p in patterns)


def is_linear(module: nn.Module) -> bool:
    """A layer that multiplies by a weight matrix, and that may be quantised."""
    from workbench.libraries.hf_transformers import Conv1D

    return type(module) is nn.Linear or isinstance(module, Conv1D)


def _tensors(model: Any) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


# ----------------------------------------------------------------------------- quantised layers


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


def _quantize(model: Any, chosen: set[int], kind: str) -> None:
    for name, module in list(model.named_modules()):
        if id(module) in chosen:
            model.set_submodule(name, QuantizedLinear(module, kind))
