"""The one look: colours that hold on light and dark pages and for colour-blind readers, and the
style sheet of all views."""

from __future__ import annotations

import html
from pathlib import Path

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Okabe-Ito's four colours with a contrast of at least 3:1 on white and on JupyterLab's dark
page."""
COLOURS = (BLUE, ORANGE, GREEN, PINK)
DASHES = ("solid", "dash", "dot", "dashdot")
"""Runs differ by dash as well as by colour: never by colour alone."""
POSITIVE, NEGATIVE = BLUE, ORANGE
"""The sign of an advantage: blue above the group, orange below; the signed number stands beside
it."""

CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
"""The style sheet of all views. It stands once in each display, beside the views' HTML: see
`guarded.stylesheet`."""


def framed(inner: str) -> str:
    """HTML inside the workbench's look; what a text view puts into an `ipywidgets.HTML`."""
    return f"<div class='wb'>{inner}</div>"


def scrolling(name: str, inner: str, kind: str = "") -> str:
    """HTML that may be wider or taller than its place and then scrolls by itself: by keyboard, too.
    Where nothing is out of sight, Tab passes over it (`page.js` sees to that)."""
    label = html.escape(name, quote=True)
    kinds = f"wb-scroll {kind}".strip()
    return f'<div class="{kinds}" tabindex="0" role="group" aria-label="{label}">{inner}</div>'


def standing_alone(inner: str) -> str:
    """`framed`, with the style sheet: for HTML that is shown without any widget."""
    return f"<style>{CSS}</style>{framed(inner)}"
