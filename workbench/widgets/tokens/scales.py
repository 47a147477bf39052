"""From numbers to colours: levels of a diverging or sequential scale that several completions
share, and its legend.

Blue with no pattern is above the neutral value, orange with stripes below it; green is a scale from
nothing upwards. All of them deepen with the distance and let the page shine through, so that the
text keeps its contrast on light and dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import BLUE, GREEN, ORANGE
from workbench.widgets.tokens.row import Quantity

Array = np.ndarray
LEVELS = 6
"""Depths of colour on each side of the neutral value."""
DEEPEST = 0.5
"""Opacity of the deepest level."""
UNKNOWN = LEVELS + 1
"""The level of a token whose value is not known."""
WITHIN = 98
"""Per cent of the coloured tokens that lie within the scale; the rest has the deepest colour."""


@dataclass(frozen=True)
class Scale:
    """The colours of a quantity: `limit` is the distance from the neutral value that has the
    deepest colour."""

    quantity: Quantity
    limit: float
    signed: bool

    def levels(self, values_T: Array) -> Array:
        """The level of each value, int (T,): -6 to 6, 0 = neutral, 7 = not known."""
        distance_T = coordinates(self.quantity, values_T)
        with np.errstate(invalid="ignore"):
            shown_T = np.where(
                abs(distance_T) < self.quantity.noise, 0.0, distance_T / self.limit * LEVELS
            )
        rounded_T = np.rint(shown_T.clip(-LEVELS, LEVELS))
        levels_T: Array = np.nan_to_num(rounded_T, nan=UNKNOWN).astype(int)
        return levels_T

    def class_of(self, level: int) -> str:
        """The CSS class of a level."""
        if level == UNKNOWN:
            return "na"
        return (
            ""
            if level == 0
            else f"n{-level}"
            if level < 0
            else f"{'p' if self.signed else 's'}{level}"
        )

    def ticks(self) -> list[tuple[int, str]]:
        """(level, value there) for the legend, from the lowest to the highest."""
        if self.quantity.scale == "side":
            return [(-LEVELS, "clipped low"), (0, "not clipped"), (LEVELS, "clipped high")]
        levels = (
            [-LEVELS, -LEVELS // 2, 0, LEVELS // 2, LEVELS]
            if self.signed
            else [0, LEVELS // 3, 2 * LEVELS // 3, LEVELS]
        )
        return [(level, self._tick(level)) for level in levels]

    def _tick(self, level: int) -> str:
        if level == 0:
            return "1" if self.quantity.scale == "ratio" else "0"
        distance = self.limit * level / LEVELS
        value = (
            np.exp(distance)
            if self.quantity.scale == "ratio"
            else -distance
            if self.quantity.scale == "surprise"
            else distance
        )
        return number_text(
            float(value), "+.3g" if self.signed and self.quantity.scale == "diverging" else ".3g"
        )


def coordinates(quantity: Quantity, values_T: Array) -> Array:
    """Distance from the neutral value, with its sign: of a ratio its logarithm, of a
    log-probability the surprise."""
    if quantity.scale == "ratio":
        with np.errstate(divide="ignore"):
            logarithm_T: Array = np.log(values_T)
        return logarithm_T
    return -values_T if quantity.scale == "surprise" else values_T


def scale_of(quantity: Quantity, arrays: Sequence[Array]) -> Scale:
    """The scale that suits all these values: 98 % of those that are not neutral lie within it."""
    if quantity.scale == "side":
        return Scale(quantity, 1.0, True)
    distance = np.concatenate(
        [coordinates(quantity, values_T) for values_T in arrays] or [np.zeros(0)]
    )
    distance = distance[np.isfinite(distance) & (abs(distance) >= quantity.noise)]
    limit = float(np.percentile(abs(distance), WITHIN)) if len(distance) else quantity.noise
    signed = quantity.scale in ("diverging", "ratio") or bool((distance < 0).any())
    return Scale(quantity, max(limit, quantity.noise), signed)


def colour_css(inside: str) -> str:
    """The style rules of all levels, for elements inside the selector `inside`."""
    rules = []
    for level in range(1, LEVELS + 1):
        for letter, colour in (("p", BLUE), ("n", ORANGE), ("s", GREEN)):
            rules.append(
                f"{inside} .{letter}{level} {{ background-color: "
                f"{_see_through(colour, DEEPEST * level / LEVELS)}; }}"
            )
    stripes = ", ".join(f"{inside} .n{level}" for level in range(1, LEVELS + 1))
    line = "repeating-linear-gradient(135deg, transparent 0 4px, rgba(128,128,128,.45) 4px 5px)"
    return "\n".join([*rules, f"{stripes} {{ background-image: {line}; }}"])


def _see_through(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.2f})"
