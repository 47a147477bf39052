"""The one look: colours that hold on light and dark pages and for colour-blind readers, and the
style sheet of all views."""

from __future__ import annotations

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


def standing_alone(inner: str) -> str:
    """`framed`, with the style sheet: for HTML that is shown without any widget."""
    return f"<style>{CSS}</style>{framed(inner)}"
