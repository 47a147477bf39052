"""What a reward function returned, as finite numbers, or the words that say what is wrong with
it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from numbers import Real
from typing import Any

from workbench.errors import WorkbenchError

LARGEST = 3.4028234663852886e38
"""The largest float32."""


class FaultError(WorkbenchError):
    """What is wrong with a call of a reward function, as the rest of a sentence about it; `row` is
    the sample where that is known."""

    def __init__(self, what: str, row: int | None = None) -> None:
        super().__init__(what)
        self.row = row


def checked(output: Any, size: int) -> list[float]:
    """`output` as `size` finite floats, NaN where it says None. Raises `FaultError`."""
    remedy = _why_no_list(output)
    if remedy is not None:
        raise FaultError(
            f"returned {output!r:.80}, a {type(output).__name__}; expected a list of {size} "
            f"rewards{remedy}"
        )
    rewards = list(output)
    if len(rewards) != size:
        raise FaultError(
            f"returned {len(rewards)} reward(s) for {size} completion(s); expected one for each"
        )
    return [_checked_one(value, i) for i, value in enumerate(rewards)]


def _why_no_list(output: Any) -> str | None:
    """What is to be said of an output that is no list of rewards: words, possibly none of them.
    None where it is one."""
    if inspect.iscoroutine(output):
        # Python would warn that it was never awaited, which this error says better.
        output.close()
        return ": write `async def`, so that it is awaited"
    if isinstance(output, Set):
        return ": this has no order"
    if isinstance(output, Iterator):
        return ": write list(…) around it"
    is_text = isinstance(output, (str, bytes, bytearray, Mapping))
    is_single = getattr(output, "ndim", 1) == 0 or not hasattr(output, "__iter__")
    return "" if is_text or is_single else None


def _checked_one(value: Any, row: int) -> float:
    if value is None:
        return math.nan
    number = value
    # A number of numpy's or torch's.
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", 1) == 0:
        number = value.item()
    if not isinstance(number, (Real, Decimal)):
        raise FaultError(
            f"returned {value!r:.80}, a {type(value).__name__}; expected a number, or None: not "
            "scored",
            row,
        )
    reward = _as_float(number)
    if not abs(reward) <= LARGEST:  # also true of NaN
        raise FaultError(
            f"returned {number!r:.80}; expected a finite float32 number, or None: not scored", row
        )
    return reward


def _as_float(number: Real | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:  # a fraction or a whole number beyond every float
        return math.inf
