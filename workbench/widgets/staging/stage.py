"""`Stage`: the dashboard's place in the page, as the page itself has to see to it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.guarded import set_if_changed
from workbench.widgets.base.page import module_beside
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import CSS
from workbench.widgets.base.text import menu_text


class Stage(anywidget.AnyWidget):
    """A line with the buttons "⧉ beside" and "Copy this view". It brings a live dashboard into view
    when it is first drawn, and while a run goes on unseen a pill at the edge of the page leads
    there.

    live        a session trains here: only then the dashboard comes into view by itself
    running     it trains now: only then the pill comes
    said        what the pill says of the run, as "12/32 · 91 %"
    code        the line of code that "Copy this view" copies
    docked      the dashboard stands beside the notebook, too; each page sees to it by itself
    dashboard   the model that a pane shows; `name` is the pane's title
    """

    _esm = module_beside(__file__)
    _css = CSS + Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

    key = traitlets.Unicode().tag(sync=True)
    dashboard = traitlets.Unicode().tag(sync=True)
    name = traitlets.Unicode("dashboard").tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    said = traitlets.Unicode().tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    docked = traitlets.Bool(False).tag(sync=True)

    def __init__(self) -> None:
        super().__init__(key=uuid4().hex)

    def follow(self, source: RunSource, code: str) -> None:
        """Say how the run in focus stands, and how the view of now is brought back."""
        set_if_changed(self, "live", source.live)
        set_if_changed(self, "running", source.live and source.status == "running")
        set_if_changed(self, "said", in_brief(source))
        set_if_changed(self, "name", menu_text(source.label, 40))
        set_if_changed(self, "code", code)


def in_brief(source: RunSource) -> str:
    """'12/32 · 91 %': the steps made and planned, the newest held-out accuracy."""
    made = str(source.last_step)
    if source.planned is not None:
        made = f"{made}/{source.planned}"
    if not len(source.evaluations):
        return made
    accuracy = float(source.evaluations.iloc[-1].accuracy)
    return f"{made} · {accuracy:.0%}".replace("%", " %") if np.isfinite(accuracy) else made
