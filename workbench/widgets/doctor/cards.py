"""`Cards`: HTML with buttons that a person presses."""

from __future__ import annotations

import anywidget
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import module_beside
from workbench.widgets.base.style import CSS, framed
from workbench.widgets.doctor.markup import DOCTOR_CSS


class Cards(anywidget.AnyWidget):
    """Shows `html`; `asked` is the `data-act` of the button pressed last, and when it was."""

    _esm = module_beside(__file__)
    _css = CSS + DOCTOR_CSS

    html = traitlets.Unicode("").tag(sync=True)
    asked: traitlets.List[str] = traitlets.List(traitlets.Unicode(), ["", ""], 2, 2).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width = "auto"
        self.layout.margin = "2px"
        answer_in_the_subshell(self)

    def draw(self, html: str) -> None:
        """Show this ('' shows nothing); an equal page is not sent again."""
        page = framed(html) if html else ""
        if page != self.html:
            self.html = page
