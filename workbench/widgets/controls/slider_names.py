"""Names for the handles of sliders: ipywidgets gives them none, so that a screen reader would say
"slider" and no more."""

from __future__ import annotations

from pathlib import Path

import anywidget


class SliderNames(anywidget.AnyWidget):
    """Shows nothing. Put among a dashboard's children, it labels each slider's handle with the
    slider's description, and those of class wb-log with the value where the slider itself says its
    exponent."""

    _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")

    def __init__(self) -> None:
        super().__init__()
        self.layout.display = "none"
