"""The compass: the truth points up, a batch is a dot, and the arrow is the mean of very many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from workbench.widgets.base.style import BLUE, ORANGE
from workbench.widgets.oracle.estimates import Quality

RADIUS, MIDDLE = 130, 160
DOTS = 150
FARTHEST = 2.0
"""Lengths beyond this many times the mean's stand on the rim."""


def compass(quality: Quality, words: str, ink: str = "currentColor") -> str:
    """An SVG: each batch at its angle to the truth, as far from the middle as it is long; the arrow
    is the mean."""
    parts = [_frame(ink)]
    for cosine, length, side in zip(
        quality.cosine_M[:DOTS], quality.length_M[:DOTS], quality.side_M[:DOTS], strict=True
    ):
        if np.isfinite(cosine):
            x, y = _place(float(cosine), float(side), min(float(length), FARTHEST) / FARTHEST)
            colour = BLUE if cosine >= 0 else ORANGE
            shape = f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}' fill-opacity='.55'/>"
            if cosine < 0:
                # A step that makes things worse is told by its shape too.
                shape = (
                    f"<rect x='{x - 3:.1f}' y='{y - 3:.1f}' width='6' height='6' fill='{colour}' "
                    "fill-opacity='.8'/>"
                )
            parts.append(shape)
    if np.isfinite(quality.cosine_of_mean):
        parts.append(arrow(quality.cosine_of_mean, 1.0, RADIUS * 0.75, ink))
    return _svg(parts, words)


def fan(cosines: Sequence[tuple[float, str]], words: str, ink: str = "currentColor") -> str:
    """An SVG with an arrow for each (cosine, colour), alternately to the right and to the left of
    the truth."""
    parts = [_frame(ink)]
    for i, (cosine, colour) in enumerate(cosines):
        side = 1.0 if i % 2 == 0 else -1.0
        parts.append(arrow(cosine, side, RADIUS * 0.9, colour))
    return _svg(parts, words)


def _svg(parts: Sequence[str], words: str) -> str:
    size = 2 * MIDDLE
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {size} {size}' width='{size}' "
        f"style='max-width:100%;height:auto' role='img' aria-label='{words}' "
        f"font-family='system-ui, sans-serif' font-size='12'>{''.join(parts)}</svg>"
    )


def _frame(ink: str) -> str:
    top = MIDDLE - RADIUS
    return (
        f"<circle cx='{MIDDLE}' cy='{MIDDLE}' r='{RADIUS}' fill='none' stroke='{ink}' "
        "stroke-opacity='.4'/>"
        f"<line x1='{MIDDLE - RADIUS}' x2='{MIDDLE + RADIUS}' y1='{MIDDLE}' y2='{MIDDLE}' "
        f"stroke='{ink}' stroke-opacity='.4' stroke-dasharray='4 4'/>"
        f"<line x1='{MIDDLE}' x2='{MIDDLE}' y1='{MIDDLE}' y2='{top}' stroke='{ink}' "
        "stroke-opacity='.4'/>"
        f"<text x='{MIDDLE}' y='{top - 8}' text-anchor='middle' fill='{ink}'>the true gradient"
        "</text>"
        f"<text x='{MIDDLE}' y='{MIDDLE + RADIUS + 18}' text-anchor='middle' fill='{ink}'>the "
        "wrong way</text>"
    )


def _place(cosine: float, side: float, share: float) -> tuple[float, float]:
    angle = math.acos(max(-1.0, min(1.0, cosine))) * side
    return (
        MIDDLE + RADIUS * share * math.sin(angle),
        MIDDLE - RADIUS * share * math.cos(angle),
    )


def arrow(cosine: float, side: float, length: float, colour: str) -> str:
    """An arrow from the middle, at the angle of this cosine."""
    angle = math.acos(max(-1.0, min(1.0, cosine))) * side
    x = MIDDLE + length * math.sin(angle)
    y = MIDDLE - length * math.cos(angle)
    wings = [
        f"{x - 11 * math.sin(angle + turn):.1f},{y + 11 * math.cos(angle + turn):.1f}"
        for turn in (-0.42, 0.42)
    ]
    return (
        f"<line x1='{MIDDLE}' y1='{MIDDLE}' x2='{x:.1f}' y2='{y:.1f}' stroke='{colour}' "
        "stroke-width='3'/>"
        f"<polygon points='{x:.1f},{y:.1f} {' '.join(wings)}' fill='{colour}'/>"
    )
