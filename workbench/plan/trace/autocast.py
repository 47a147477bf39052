"""Autocast to bfloat16 as it acts on memory, for the meta device, where torch's own does nothing.

Under `torch.autocast` every product of matrices is computed in bfloat16: input and weight are cast,
and the cast weights of a forward stay until its backward is through, because the backward needs
them. Everything else keeps its format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def weights_cast_to_bfloat16(model: Any, widened: bool) -> list[Any]:
    """Let the linear layers of `model` compute so; returns handles whose `remove()` undoes it.

    widened   their outputs come back as float32, for attention written out as products, which refuse mixed formats here
    """
    return [_Swapped(m, widened) for m in model.modules() if type(m) is nn.Linear]


class _Swapped:
    """One layer with another forward, until `remove`."""

    def __init__(self, layer: nn.Linear, widened: bool) -> None:
        self.layer, self.widened = layer, widened
        layer.forward = self._forward  # type: ignore[method-assign, assignment]

    def _forward(self, x: Tensor) -> Tensor:
        bias = None if self.layer.bias is None else self.layer.bias.to(torch.bfloat16)
        y = F.linear(x.to(torch.bfloat16), self.layer.weight.to(torch.bfloat16), bias)
        return y.float() if self.widened else y

    def remove(self) -> None:
        """The layer's own forward is back."""
        del self.layer.forward
