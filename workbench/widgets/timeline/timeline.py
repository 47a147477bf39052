"""`Timeline`: a run on one line, as a small widget. It draws and is chosen from; it reads no record
and knows no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import module_of
from workbench.widgets.base.style import CSS

HERE = Path(__file__)
SPEED = 4.0
"""Steps a second of a replay, until another is chosen."""


class Timeline(anywidget.AnyWidget):
    """The state is in the traits, so that a page that is loaded again shows the same.

    marks      what happened: key, kind, step and text of each (`marks.Mark.packed`)
    kept       stretches of steps whose completions were kept, [first, last] each
    last       the newest step; 0 shows nothing
    cursor     the step that is shown everywhere; `following` = the newest, whichever it is
    picked     keys of the marks that a person chose; `detail` = what there is to say of them, HTML
    interval   [first, last] step that a person chose with the mouse, [] for none. Pages may read it
    playing    a replay goes on, at `speed` steps a second
    live       the run is being trained here
    """

    _esm = module_of(HERE.parents[1] / "plots/shared.js", HERE.with_suffix(".js"))
    _css = CSS + HERE.with_suffix(".css").read_text(encoding="utf-8")

    marks: traitlets.List[Any] = traitlets.List(traitlets.Dict()).tag(sync=True)
    kept: traitlets.List[Any] = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    last = traitlets.Int(0, min=0).tag(sync=True)
    cursor = traitlets.Int(0, min=0).tag(sync=True)
    following = traitlets.Bool(True).tag(sync=True)
    picked: traitlets.List[Any] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    detail = traitlets.Unicode("").tag(sync=True)
    interval: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    speed = traitlets.Float(SPEED, min=0.1).tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.layout.width = "100%"
        answer_in_the_subshell(self)
