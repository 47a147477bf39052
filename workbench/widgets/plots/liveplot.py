"""`LivePlot`: plotly charts in a notebook that redraw in place, as one small widget over
plotly.js.

The whole picture is in two traits, so that a page reload, a second tab or a second display of the
same widget shows it as it is: `spec`, the charts' JSON with every array replaced by a number, and
`frame`, those arrays as float32 in one buffer. plotly.js comes from the installed plotly package
over the widget's own connection, once per page: nothing is asked from outside. A saved notebook
keeps an SVG picture beside the widget.

A chart is plotly JSON with numpy arrays for data: `{"data": [...], "layout": {...}}`, which
`plotly.graph_objects.Figure` takes too. `layout["meta"]` may hold `title` and `summary`, plain
texts for the picture and for screen readers. Text colours, grids and fonts follow the page's theme
and are not part of a chart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.widgets.base.hosts import with_picture
from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import module_of
from workbench.widgets.base.style import CSS
from workbench.widgets.plots import Chart
from workbench.widgets.plots.still import draw_svg

HERE = Path(__file__).parent
SCRIPTS = ("shared", "lines", "head", "bar", "crosshair", "liveplot")
"""The parts of the page's code, in the order in which they are joined to one module."""

SEND_AGAIN = 5.0
"""Seconds before plotly.js (5 MB) is sent a second time; a page asks each second or two until it
has it."""


class LivePlot(anywidget.AnyWidget):
    """Figures in a grid of `columns` columns (fewer where the page is narrow), each `height` pixels
    high.

    show(charts)   draws them; may be called from any thread
    clicked        {"x": …, "y": …, "panel": …, "count": …} of the point clicked last, `y` where
                   the pointer was; `count` makes each click a change
    scale           multiplies heights and texts, for a projector
    least_height    above 0: in a dashboard the rows share what the window leaves below them, each
                    at least so many pixels high
    linked          the charts are over the same steps: they share zoom, crosshair and smoothing
    smoothing       weight of a step in the moving average one step on, 0 (none) to 0.99
    zoom            first and last step shown, [] for all
    hidden          the lines that a person hid in a legend: "RUN", or "TITLE: NAME" in one chart
    """

    _esm = module_of(*(HERE / f"{name}.js" for name in SCRIPTS))
    _css = CSS + Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    _ipython_display_ = None  # ipywidgets 7 would show the widget alone, without the picture

    spec: traitlets.List[Any] = traitlets.List().tag(sync=True)
    frame = traitlets.Dict({"lengths": [], "buffer": b""}).tag(sync=True)
    label = traitlets.Unicode("plots").tag(sync=True)
    columns = traitlets.Int(2, min=1).tag(sync=True)
    height = traitlets.Int(230, min=80).tag(sync=True)
    least_height = traitlets.Int(0, min=0).tag(sync=True)
    scale = traitlets.Float(1.0, min=0.5, max=4).tag(sync=True)
    clicked = traitlets.Dict().tag(sync=True)
    linked = traitlets.Bool(False).tag(sync=True)
    smoothing = traitlets.Float(0.0, min=0.0, max=0.99).tag(sync=True)
    zoom: traitlets.List[Any] = traitlets.List(traitlets.Float()).tag(sync=True)
    hidden: traitlets.List[Any] = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, charts: Sequence[Chart] = (), **traits: Any) -> None:
        super().__init__(**traits)
        self.layout.width = "100%"
        self._charts: list[Chart] = []
        self._sent, self._lock = -SEND_AGAIN, threading.Lock()
        self.on_msg(self._answer)
        answer_in_the_subshell(self)
        if charts:
            self.show(charts)

    def show(self, charts: Sequence[Chart]) -> None:
        """Draw these charts instead of those before."""
        spec, arrays = packed(charts)
        with self._lock, self.hold_sync():
            self._charts = list(charts)
            self.spec = spec
            self.frame = {
                "lengths": [len(a) for a in arrays],
                "buffer": b"".join(a.tobytes() for a in arrays),
            }

    @property
    def charts(self) -> list[Chart]:
        """What is drawn."""
        return list(self._charts)

    @property
    def summary(self) -> str:
        """What the charts say, in words: a line each."""
        return "\n".join(
            f.get("layout", {}).get("meta", {}).get("summary", "") for f in self._charts
        ).strip()

    def picture(self) -> str:
        """The charts as one SVG, for where no widget runs."""
        return draw_svg(self._charts, columns=self.columns, height=self.height)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        words = self.summary or "No charts yet."
        return with_picture(data, words, self.picture() if self._charts else ""), metadata

    def _answer(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """A page asks for plotly.js."""
        if content.get("kind") != "need plotly.js":
            return
        with self._lock:
            if time.monotonic() - self._sent < SEND_AGAIN:
                return
            self._sent = time.monotonic()
        try:
            from plotly.offline import get_plotlyjs

            source = get_plotlyjs().encode()
        except Exception as error:  # nobody would see it here: the page says it in the cell
            self.send({"kind": "no plotly.js", "reason": f"{type(error).__name__}: {error}"})
            raise
        self.send({"kind": "plotly.js"}, [source])


def packed(charts: Sequence[Chart]) -> tuple[list[Chart], list[np.ndarray]]:
    """The charts as JSON where {"column": i} stands for an array, and those arrays as float32,
    each once. Shapes that are those of the first chart, the same list, are {"of": 0}: forty marks
    in ten charts would be most of what goes over the wire."""
    arrays: list[np.ndarray] = []
    seen: dict[int, int] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if id(value) not in seen:
                seen[id(value)] = len(arrays)
                arrays.append(np.ascontiguousarray(value, "<f4"))
            return {"column": seen[id(value)]}
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items()}
        return [plain(part) for part in value] if isinstance(value, list | tuple) else value

    spec = [plain(chart) for chart in charts]
    for chart, packed_chart in list(zip(charts, spec, strict=True))[1:]:
        shapes = chart.get("layout", {}).get("shapes")
        if shapes and shapes is charts[0].get("layout", {}).get("shapes"):
            packed_chart["layout"]["shapes"] = {"of": 0}
    return spec, arrays
