"""The push strip: one row for each position of a completion, one column for each step, blue where
tokens were pushed up and orange where down, brighter the more it reached the logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.page import LIT, module_of
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import CSS
from workbench.widgets.tokens.strip import Strip, columns_of, pushes_of, strip_of

STRIP_CSS = Path(__file__).with_name("strip.css").read_text(encoding="utf-8")
NOTHING: dict[str, Any] = {
    "steps": [],
    "rows": 0,
    "band": 1,
    "full": 0.0,
    "cells": b"",
    "words": "",
}


class StripBox(anywidget.AnyWidget):
    """Draws `page`; `picked` is [step, serial number] of the column that was clicked last; `step`
    is the one that the dashboard shows."""

    _esm = module_of(LIT, Path(__file__).with_suffix(".js"))
    _css = CSS + STRIP_CSS

    page: traitlets.Dict[str, Any] = traitlets.Dict(NOTHING).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    picked: traitlets.List[int] = traitlets.List(traitlets.Int(), [0, 0], 2, 2).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.layout.width = "auto"
        self.layout.margin = "2px"
        answer_in_the_subshell(self)


class StripPart:
    """`widget` shows the strip of the run that is followed; `choose(step)` is called when a person
    clicks a column. Each step is read once."""

    def __init__(self, choose: Callable[[int], None]) -> None:
        self._known: dict[int, np.ndarray | None] = {}
        self._of: object = None
        self.widget = StripBox()
        self.widget.observe(lambda change: choose(change["new"][0]), "picked")

    def follow(self, source: RunSource, step: int) -> None:
        """Draw the kept steps of this run, with `step` marked."""
        run_key = (source.run.path, source.run.position()[0])
        if run_key != self._of:
            self._known = {}
            self._of = run_key
        steps = columns_of(source.kept_steps("tokens"))
        for each in steps:
            if each not in self._known:
                self._known[each] = pushes_of(source.run, each)
        pushes = {each: self._known[each] for each in steps}
        known = {each: push for each, push in pushes.items() if push is not None}
        page = page_of(strip_of(list(known), list(known.values())))
        if page != self.widget.page:
            self.widget.page = page
        if step != self.widget.step:
            self.widget.step = step


def page_of(strip: Strip) -> dict[str, Any]:
    """What the script draws: two bytes for each cell, up and down, of 255 for the brightest."""
    if not strip.up_SP.size:
        return NOTHING | {"words": "No step has a recorded push to show here."}
    full = strip.full or 1.0
    levels = np.stack([strip.up_SP, strip.down_SP], -1) / full * 255
    return {
        "steps": strip.steps_S.tolist(),
        "rows": strip.up_SP.shape[1],
        "band": strip.band,
        "full": full,
        "cells": np.rint(levels.clip(0, 255)).astype(np.uint8).tobytes(),
        "words": words_of(strip),
    }


def words_of(strip: Strip) -> str:
    """What one sees, in a sentence: how much of the push falls on the strongest position."""
    size_P = (strip.up_SP + strip.down_SP).sum(0)
    if not size_P.any():
        return "Nothing was pushed in any kept step: every gradient coefficient is 0."
    row = int(size_P.argmax())
    where = f"position {row}"
    if strip.band > 1:
        where = f"positions {row * strip.band} to {(row + 1) * strip.band - 1}"
    order_P = np.sort(size_P)[::-1].cumsum()
    most = int(np.searchsorted(order_P, 0.9 * size_P.sum())) + 1
    last = strip.share(row, len(strip.steps_S) - 1)
    of_last = "" if np.isnan(last) else f" ({number_text(100 * last, '.3g')} % in the last step)"
    return (
        f"Of all push {number_text(100 * strip.share(row), '.3g')} % falls on {where}{of_last}; "
        f"{most * strip.band} of {len(size_P) * strip.band} positions have 90 % of it."
    )
