"""Autocast to bfloat16 as it acts on memory, for the meta device, where torch's own does nothing.

Under `torch.autocast` every product of matrices is computed in bfloat16: input and weight are cast.
A weight is cast once in a forward, and its copy stays until that forward is over, also where no
gradient is recorded; where one is, the backward needs the copy and keeps it longer. Everything else
keeps its format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def weights_cast_to_bfloat16(model: Any, widened: bool) -> list[Any]:
    """Let the linear layers of `model` compute so; returns handles whose `remove()` undoes it.

    widened: their outputs come back as float32, for attention written out as products, which refuse
    mixed formats here.
    """
    copies = _Copies()
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    return [
        *(_Swapped(layer, widened, copies) for layer in layers),
        model.register_forward_pre_hook(copies.start),
        model.register_forward_hook(copies.forget),
    ]


class _Copies:
    """The bfloat16 copies that a forward has made so far."""

    def __init__(self) -> None:
        self.by_layer: dict[int, Tensor] = {}
        self.inside = False

    def start(self, *_: Any) -> None:
        """A forward begins."""
        self.inside = True

    def forget(self, *_: Any) -> None:
        """It is over. What a backward computes again (checkpointing) is not kept here."""
        self.inside = False
        self.by_layer.clear()

    def of(self, layer: nn.Linear) -> Tensor:
        """The layer's weight in bfloat16."""
        known = self.by_layer.get(id(layer))
        if known is not None:
            return known
        copy = layer.weight.to(torch.bfloat16)
        if self.inside:
            self.by_layer[id(layer)] = copy
        return copy


class _Swapped:
    """One layer with another forward, until `remove`."""

    def __init__(self, layer: nn.Linear, widened: bool, copies: _Copies) -> None:
        self.layer = layer
        self.widened = widened
        self.copies = copies
        layer.forward = self._forward  # type: ignore[method-assign, assignment]

    def _forward(self, x: Tensor) -> Tensor:
        bias = None if self.layer.bias is None else self.layer.bias.to(torch.bfloat16)
        y = F.linear(x.to(torch.bfloat16), self.copies.of(self.layer), bias)
        return y.float() if self.widened else y

    def remove(self) -> None:
        """The layer's own forward is back."""
        del self.layer.forward
