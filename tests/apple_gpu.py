"""A stand-in for Apple's GPU, where there is none: tensors that say they are on "mps" and refuse
what they refuse there, float64 and NumPy. They compute on the CPU, so that the numbers are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MPS = torch.device("mps", 0)
NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"


class AppleTensor(torch.Tensor):
    """A tensor of the CPU that says it is on Apple's GPU. What is made of it is there, too."""

    @property
    def device(self) -> torch.device:
        return MPS

    @property
    def is_mps(self) -> bool:
        return True

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.numpy or func is torch.Tensor.__array__:
            raise TypeError("can't convert mps:0 device type tensor to numpy")
        target = _target(func, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*tree_map(_off_apple, args), **tree_map(_off_apple, kwargs))
            if target == "cpu":
                return found.as_subclass(torch.Tensor)
        return tree_map(_on_apple, found)


class _Factories(TorchFunctionMode):
    """What is made on, or brought to, "mps" becomes an `AppleTensor`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if any(isinstance(leaf, AppleTensor) for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        if func is torch.device or not _is_mps([*args, *kwargs.values()]):
            return func(*args, **kwargs)
        found = func(*tree_map(_off_apple, list(args)), **tree_map(_off_apple, kwargs))
        return tree_map(_on_apple, found)


def _is_mps(values: list[Any]) -> bool:
    return any(
        (isinstance(value, torch.device) and value.type == "mps") or value == "mps"
        for value in values
        if isinstance(value, (torch.device, str))
    )


def _target(func: Any, args: Any, kwargs: Any) -> str | None:
    """ "cpu" where a tensor is brought back."""
    if func is torch.Tensor.cpu:
        return "cpu"
    if func is not torch.Tensor.to:
        return None
    places = [*args[1:], kwargs.get("device")]
    for place in places:
        if isinstance(place, torch.Tensor):
            return place.device.type
        if isinstance(place, (torch.device, str)):
            return torch.device(place).type
    return None


def _off_apple(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "mps":
        return torch.device("cpu")
    if isinstance(value, str) and value == "mps":
        return "cpu"
    return value


def _on_apple(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or isinstance(value, AppleTensor):
        return value
    if value.dtype == torch.float64:
        raise TypeError(NO_FLOAT64)
    return value.as_subclass(AppleTensor)


def to_apple(model: nn.Module) -> nn.Module:
    """The same model with its weights and buffers on the stand-in."""
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                moved = weight.detach().as_subclass(AppleTensor)
                module._parameters[name] = nn.Parameter(moved, weight.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = buffer.as_subclass(AppleTensor)
    return model


class Metal:
    """What torch tells of the GPU itself: its memory, and a random generator of its own."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.emptied = 0

    def empty_cache(self) -> None:
        self.emptied += 1


def pretend(monkeypatch: pytest.MonkeyPatch) -> Metal:
    """torch's answers on a machine with such a GPU, 10 GB of which may be used and 1 is."""
    metal = Metal()
    answers = {
        "recommended_max_memory": lambda: 10 * 10**9,
        "current_allocated_memory": lambda: 10**9,
        "get_rng_state": metal.generator.get_state,
        "set_rng_state": metal.generator.set_state,
        "manual_seed": metal.generator.manual_seed,
        "empty_cache": metal.empty_cache,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.mps, name, answer)
    plain = nn.Module.to

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        return (
            to_apple(self) if _is_mps([*args, *kwargs.values()]) else plain(self, *args, **kwargs)
        )

    monkeypatch.setattr(nn.Module, "to", to)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return metal


@contextmanager
def apple_gpu() -> Iterator[None]:
    """Inside, tensors can be made on "mps"."""
    with _Factories():
        yield
