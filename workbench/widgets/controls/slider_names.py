"""Names for the handles of sliders: ipywidgets gives them none, so that a screen reader would say
"slider" and no more."""

from __future__ import annotations

import anywidget

from workbench.widgets.base.page import module_beside


class SliderNames(anywidget.AnyWidget):
    """Shows nothing. Put among a view's children, it labels the handle of each of ipywidgets'
    sliders with the slider's description."""

    _esm = module_beside(__file__)

    def __init__(self) -> None:
        super().__init__()
        self.layout.display = "none"
