"""`MatrixBox`: a table of cells that a pointer and a keyboard can pick from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import module_beside
from workbench.widgets.base.style import CSS

INFLUENCE_CSS = Path(__file__).with_name("influence.css").read_text(encoding="utf-8")
NOTHING = [-1, -1]


class MatrixBox(anywidget.AnyWidget):
    """Shows `html`; `picked` is the row and the column of the `wb-cell` that was chosen last,
    counted among the rows that have any, [-1, -1] before the first."""

    _esm = module_beside(__file__)
    _css = CSS + INFLUENCE_CSS

    html = traitlets.Unicode("").tag(sync=True)
    picked: traitlets.List[int] = traitlets.List(traitlets.Int(), NOTHING, 2, 2).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.layout.width = "auto"
        self.layout.margin = "2px"
        answer_in_the_subshell(self)

    def draw(self, html: str) -> None:
        """Show another table, nothing of it picked."""
        framed = f'<div class="wb">{html}</div>'
        if framed != self.html:
            self.picked = list(NOTHING)
            self.html = framed
