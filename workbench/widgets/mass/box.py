"""`MassBox`: bars of probability that a slider carries from before the step through its updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import LIT, module_of
from workbench.widgets.base.style import CSS
from workbench.widgets.base.text import menu_text
from workbench.widgets.mass.bars import Bar, GroupMass

MASS_CSS = Path(__file__).with_name("mass.css").read_text(encoding="utf-8")
HEAD, TAIL = 18, 30
"""Characters of a completion beside its bar: of its beginning, and of its end, where the answer
is."""


class MassBox(anywidget.AnyWidget):
    """`page` is what is drawn; `at` the update that is shown, 0 = before the step; `picked` is
    [row, serial number] of the completion that was clicked last."""

    _esm = module_of(LIT, Path(__file__).with_suffix(".js"))
    _css = CSS + MASS_CSS

    page: traitlets.Dict[str, Any] = traitlets.Dict({"bars": []}).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    picked: traitlets.List[int] = traitlets.List(traitlets.Int(), [-1, 0], 2, 2).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width = "auto"
        self.layout.margin = "2px"
        answer_in_the_subshell(self)

    def draw(self, found: GroupMass, texts: dict[int, str]) -> None:
        """Show a group; `texts` has the completion of each row. It opens after the last update."""
        page = {
            "bars": [_as_page(bar, texts[bar.rows[0]]) for bar in found.bars],
            "rest": _numbers(found.rest_U),
            "clips": found.clips,
        }
        if page != self.page:
            self.page = page
            self.at = len(found.rest_U) - 1

    def clear(self) -> None:
        """Show nothing."""
        if self.page["bars"]:
            self.page = {"bars": []}


def _as_page(bar: Bar, text: str) -> dict[str, Any]:
    return {
        "rows": list(bar.rows),
        # Put into the page as text, never as HTML; white space as one sees it.
        "text": _short(text),
        "p": _numbers(bar.probability_U),
        "wall": [None if np.isnan(wall) else float(wall) for wall in bar.wall_U],
        "clipped": bar.at_wall_U.tolist(),
        "tokens": bar.tokens,
        "advantage": None if np.isnan(bar.advantage) else bar.advantage,
        "reward": None if np.isnan(bar.reward) else bar.reward,
    }


def _short(text: str) -> str:
    if len(text) <= HEAD + TAIL:
        return menu_text(text, HEAD + TAIL)
    # Each end by itself: a space at the cut would be lost with the line breaks.
    return f"{menu_text(text[:HEAD], HEAD)} … {menu_text(text[-TAIL:], TAIL)}"


def _numbers(values_U: np.ndarray) -> list[float]:
    # Six digits: the bars show three.
    return [float(f"{value:.6g}") for value in values_U]
