"""The compass: the truth points up, a batch is a dot, and the arrow is the mean of very many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.widgets.base.style import BLUE, ORANGE
from workbench.widgets.oracle.estimates import Quality

LARGE, SMALL = 130, 95
"""Pixels of a dial's radius."""
AROUND = 32
"""Pixels around it, for the words above and below."""
DOTS = 150
FARTHEST = 2.0
"""Lengths beyond this many times the mean's stand on the rim."""


def compass(quality: Quality, words: str, ink: str = "currentColor") -> str:
    """An SVG: each batch at its angle to the truth, as far from the middle as it is long; the arrow
    is the mean. `words` are its name for a screen reader, escaped."""
    dial = _Dial(LARGE, ink)
    parts = [
        dial.dot(float(cosine), float(side), min(float(length), FARTHEST) / FARTHEST)
        for cosine, length, side in zip(
            quality.cosine_M[:DOTS], quality.length_M[:DOTS], quality.side_M[:DOTS], strict=True
        )
        if np.isfinite(cosine)
    ]
    if np.isfinite(quality.cosine_of_mean):
        parts.append(dial.arrow(quality.cosine_of_mean, 1.0, 0.75, ink))
    return dial.drawn(parts, words)


def fan(cosines: Sequence[tuple[float, str]], words: str, ink: str = "currentColor") -> str:
    """An SVG with an arrow for each (cosine, colour), alternately to the right and to the left of
    the truth."""
    dial = _Dial(SMALL, ink)
    parts = [
        dial.arrow(cosine, 1.0 if i % 2 == 0 else -1.0, 0.9, colour)
        for i, (cosine, colour) in enumerate(cosines)
    ]
    return dial.drawn(parts, words)


@dataclass(frozen=True)
class _Dial:
    """A circle whose top is the truth."""

    radius: int
    ink: str

    @property
    def middle(self) -> int:
        return self.radius + AROUND

    def place(self, cosine: float, side: float, share: float) -> tuple[float, float]:
        """Where a direction ends that is so many radii long."""
        angle = math.acos(max(-1.0, min(1.0, cosine))) * side
        reach = self.radius * share
        return self.middle + reach * math.sin(angle), self.middle - reach * math.cos(angle)

    def dot(self, cosine: float, side: float, share: float) -> str:
        x, y = self.place(cosine, side, share)
        if cosine >= 0:
            return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{BLUE}' fill-opacity='.55'/>"
        # A step that makes things worse is told by its shape, too.
        return (
            f"<rect x='{x - 3:.1f}' y='{y - 3:.1f}' width='6' height='6' fill='{ORANGE}' "
            "fill-opacity='.8'/>"
        )

    def arrow(self, cosine: float, side: float, share: float, colour: str) -> str:
        x, y = self.place(cosine, side, share)
        angle = math.acos(max(-1.0, min(1.0, cosine))) * side
        wings = [
            f"{x - 11 * math.sin(angle + turn):.1f},{y + 11 * math.cos(angle + turn):.1f}"
            for turn in (-0.42, 0.42)
        ]
        return (
            f"<line x1='{self.middle}' y1='{self.middle}' x2='{x:.1f}' y2='{y:.1f}' "
            f"stroke='{colour}' stroke-width='3'/>"
            f"<polygon points='{x:.1f},{y:.1f} {' '.join(wings)}' fill='{colour}'/>"
        )

    def drawn(self, parts: Sequence[str], words: str) -> str:
        size = 2 * self.middle
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {size} {size}' width='{size}' "
            f"height='{size}' role='img' aria-label='{words}' "
            f"font-family='system-ui, sans-serif' font-size='12'>{self._frame()}{''.join(parts)}"
            "</svg>"
        )

    def _frame(self) -> str:
        m = self.middle
        r = self.radius
        faint = f"stroke='{self.ink}' stroke-opacity='.4'"
        words = f"text-anchor='middle' fill='{self.ink}'"
        return (
            f"<circle cx='{m}' cy='{m}' r='{r}' fill='none' {faint}/>"
            f"<line x1='{m - r}' x2='{m + r}' y1='{m}' y2='{m}' {faint} stroke-dasharray='4 4'/>"
            f"<line x1='{m}' x2='{m}' y1='{m}' y2='{m - r}' {faint}/>"
            f"<text x='{m}' y='{m - r - 8}' {words}>the true gradient</text>"
            f"<text x='{m}' y='{m + r + 18}' {words}>the wrong way</text>"
        )
