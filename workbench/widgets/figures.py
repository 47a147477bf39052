"""Numbers as the text views write them."""

from __future__ import annotations

import math


def figure(value: float, spec: str = ".4g", missing: str = "not scored") -> str:
    """`value` by a format specification; a word instead of NaN, 0 without a sign."""
    return missing if math.isnan(value) else format(value + 0.0, spec)
