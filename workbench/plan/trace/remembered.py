"""Operations on the meta device, each kind worked out once.

torch works out the shape of most results in Python, which takes a fifth of a millisecond: nearly
all the time of a plan, since a head cut into a thousand blocks calls the same few operations on the
same few shapes a thousand times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.torch_ import storage_key, tree_leaves

MOST_KEPT = 20_000
"""Operations with their shapes. A plan with its advice meets about a thousand; what goes on for
ever in one process starts anew at this number."""
Maker = Callable[[Any], Any]
"""(the arguments) -> the result, without asking torch."""
_KNOWN: dict[Any, Maker] = {}
"""Function with its arguments' shapes -> how its result is made."""


class _HasNumbersError(Exception):
    """A tensor with memory: its operations have to be done."""


def on_meta_device(function: Any, args: Any, kwargs: Any) -> Any:
    """What `function` gives for these arguments, all on the meta device, as torch would say."""
    try:
        key = (function, _signature(args), _signature(tuple(kwargs.items())))
        maker = _KNOWN.get(key)
    except (TypeError, _HasNumbersError):  # a TypeError: an argument that cannot be a key
        return function(*args, **kwargs)
    if maker is not None:
        return maker(args)
    result = function(*args, **kwargs)
    # An operation may have changed the shape of what it was given (`resize_`).
    if _signature(args) == key[1]:
        if len(_KNOWN) >= MOST_KEPT:
            _KNOWN.clear()
        found = _maker(result, args, kwargs)
        if found is not None:
            _KNOWN[key] = found
    return result


def _signature(value: Any) -> Any:
    """All that a result's shape may depend on. 1, 1.0 and True are equal, and not the same."""
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise _HasNumbersError
        return (value.shape, value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return tuple(_signature(one) for one in value)
    return (type(value), value)


def _maker(result: Any, args: Any, kwargs: Any) -> Maker | None:
    """How such a result is made without torch's help: a new tensor of the same layout, several, or
    the first argument, changed in place. None for a view, and for what is no tensor."""
    if args and result is args[0]:
        return lambda given: given[0]
    given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    parts = result if isinstance(result, tuple) else (result,)
    if not all(type(part) is Tensor and part.device.type == "meta" for part in parts):
        return None
    # Asked of the memory and not of the operation's declaration: `_unsafe_view` declares none.
    if {storage_key(part) for part in parts} & {storage_key(t) for t in given}:
        return None
    # A part of a larger memory has a size that its shape does not tell.
    if any(part.untyped_storage().nbytes() != _bytes_of(part) for part in parts):
        return None
    makers = [_like(part) for part in parts]
    if isinstance(result, tuple):
        return lambda _: tuple(make() for make in makers)
    return lambda _: makers[0]()


def _like(tensor: Tensor) -> Callable[[], Tensor]:
    """Makes new tensors of that layout. The tensor itself is not held, or it would stay alive."""
    shape = tensor.shape
    stride = tensor.stride()
    dtype = tensor.dtype
    return lambda: torch.empty_strided(shape, stride, dtype=dtype, device="meta")


def _bytes_of(tensor: Tensor) -> int:
    """Bytes of a memory that holds this tensor and nothing else."""
    return _like(tensor)().untyped_storage().nbytes()
