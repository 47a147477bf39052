"""bitsandbytes: its quantised layers made, read as plain numbers, and kept from changing.

Held against the installed version by `tests/libraries/test_bitsandbytes.py`.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor, nn


def silence_slow_kernel() -> None:
    """On a CPU it warns, when peft imports it, that a faster kernel is not installed: one that
    `keep_from_changing` switches off."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def plain_numbers(module: Any, parameter: Any) -> Tensor:
    """A parameter (or buffer) of `module` where it lies: dequantised where bitsandbytes quantised
    it, else itself without gradient."""
    kind = type(parameter).__name__
    if kind == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        numbers: Tensor = dequantize_4bit(parameter.data, parameter.quant_state)
        return numbers
    if kind == "Int8Params":
        # Before the first forward the scales lie with the weight, afterwards with the layer.
        scale: Tensor = parameter.SCB if parameter.SCB is not None else module.state.SCB
        codes: Tensor = parameter.data
        return codes.float() * (scale.float() / 127)[:, None]
    plain: Tensor = parameter.detach()
    return plain


def count_of(parameter: Any) -> int:
    """The numbers that a parameter stands for: of a weight in 4 bits, two lie in one byte."""
    state = getattr(parameter, "quant_state", None)
    return int(parameter.numel()) if state is None else math.prod(state.shape)


def is_quantized(parameter: Any) -> bool:
    """Whether a weight of a quantised model is one of those that were quantised."""
    return type(parameter) is not nn.Parameter


def compute_four_bits_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Let the 4-bit layers of `model` multiply in `dtype`, whatever whoever stored them wrote."""
    import bitsandbytes as bnb

    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            weight: Any = module.weight
            module.compute_dtype = dtype
            module.compute_type_is_set = True
            weight.quant_state.dtype = dtype


def quantized_layer(
    weight: Tensor, bias: nn.Parameter | None, kind: str, compute: torch.dtype
) -> nn.Module:
    """A layer in "nf4" or "int8" with these numbers, (outputs, inputs): the same as transformers
    makes while it reads a checkpoint."""
    import bitsandbytes as bnb

    outputs, inputs = weight.shape
    made: Any
    stored: Any
    if kind == "nf4":
        made = bnb.nn.Linear4bit(
            inputs,
            outputs,
            bias is not None,
            compute,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        stored = bnb.nn.Params4bit(
            weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
        )
    else:
        made = bnb.nn.Linear8bitLt(
            inputs,
            outputs,
            bias is not None,
            has_fp16_weights=False,
            threshold=6.0,
            device="meta",
        )
        stored = bnb.nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False)
    made.weight = stored.to(weight.device)  # this quantises
    made.bias = bias
    layer: nn.Module = made.requires_grad_(False)
    return layer


def keep_from_changing(model: nn.Module) -> None:
    """Make the quantised layers compute alike in training and in evaluation, and leave their
    weights alone (CPU)."""
    import bitsandbytes as bnb

    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            # Or evaluation mode packs the weights anew, in place and rounded.
            module.support_avx512bf16_for_cpu = False
        elif isinstance(module, bnb.nn.Linear8bitLt) and module.weight.device.type == "cpu":
            # Or evaluation mode multiplies integers, and training mode floats.
            module.register_forward_pre_hook(_as_in_training)


def _as_in_training(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    module.training = True
