"""Weights in 4 and 8 bits as the numbers that they stand for. Both saving a policy and handing it
to a sampler need them."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor


def plain_numbers(module: Any, parameter: Any) -> Tensor:
    """A parameter (or buffer) of `module` where it lies: dequantised where bitsandbytes quantised
    it, else itself without gradient."""
    kind = type(parameter).__name__
    if kind == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(parameter.data, parameter.quant_state)
    if kind == "Int8Params":
        scale = parameter.SCB if parameter.SCB is not None else module.state.SCB
        return parameter.data.float() * (scale.float() / 127)[:, None]
    return parameter.detach()


def count_of(parameter: Any) -> int:
    """The numbers that a parameter stands for: of a weight in 4 bits, two lie in one byte."""
    state = getattr(parameter, "quant_state", None)
    return int(parameter.numel()) if state is None else math.prod(state.shape)
