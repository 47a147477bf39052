"""`GroupBox`: the groups of a page, whose rows can be picked by pointer and keyboard."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import LIT, module_of
from workbench.widgets.base.style import CSS
from workbench.widgets.groups.markup import GROUPS_CSS

NO_ROW = -1


class GroupBox(anywidget.AnyWidget):
    """Shows `html`; `picked` is [row, serial number] of the row that was picked last, so that the
    same one can be picked again. `selected` is the row that the whole dashboard shows."""

    _esm = module_of(LIT, Path(__file__).with_suffix(".js"))
    _css = CSS + GROUPS_CSS

    html = traitlets.Unicode("").tag(sync=True)
    picked: traitlets.List[int] = traitlets.List(traitlets.Int(), [NO_ROW, 0], 2, 2).tag(sync=True)
    selected = traitlets.Int(NO_ROW).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width = "auto"
        self.layout.margin = "2px"
        answer_in_the_subshell(self)
