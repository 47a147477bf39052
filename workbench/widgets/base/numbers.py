"""Numbers as the text views write them: four significant digits, a typographic minus; the exact
number where asked for."""

from __future__ import annotations

import math
import re


def number_text(value: float, spec: str = ".4g", missing: str = "not scored") -> str:
    """`value` by a format specification; a word instead of NaN, 0 without a sign."""
    if math.isnan(value):
        return missing
    return typographic(format(value + 0.0, spec.removeprefix("+") if value == 0 else spec))


def typographic(text: str) -> str:
    """A formatted number as it is printed: − for its sign, no zeros in front of an exponent, ∞ for
    inf."""
    return (
        re.sub(r"(?<=e)([+-])0*", r"\1", text)
        .replace("e+", "e")
        .replace("-", "−")
        .replace("inf", "∞")
    )


def all_digits(value: float) -> str:
    """All digits of a number, for a title or a copy."""
    return "not known" if math.isnan(value) else repr(float(value))
