"""`HandChart`: a small picture with handles that a pointer drags and arrow keys move.

The picture is plain JSON, the handles' places are numbers by name, so that both are whole after a
reload. The script draws; it decides nothing. A handle is a slider to a screen reader, with a name,
a range and its value in words.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.page import REDRAW, module_of
from workbench.widgets.base.style import CSS

SHAPES = ("line", "corner", "bar", "dot")
"""A vertical line and the corner of a curve are moved sideways, the top of a bar and a dot up and
down."""


@dataclass(frozen=True, kw_only=True)
class Handle:
    """What can be moved.

    id         its key in `HandChart.values`
    name       what it is called, to be read out
    low, high  between which it moves; an arrow key moves it by `step`
    shape      one of `SHAPES`
    at         its place on the other axis: the middle of a bar, a dot's x, a corner's y
    width      of a bar
    kind       its look: "positive", "negative", "neutral"
    """

    id: str
    name: str
    low: float
    high: float
    step: float = 0.01
    shape: str = "line"
    at: float = 0.0
    width: float = 0.8
    kind: str = "positive"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line through points; `y` may have gaps (None). `named` writes its name at its end."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    kind: str = "positive"
    dashed: bool = False
    named: bool = False


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Columns that nobody moves: from `x0` to `x1`, as high as `y`."""

    name: str
    x0: Sequence[float]
    x1: Sequence[float]
    y: Sequence[float]
    kind: str = "neutral"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All that is drawn. `x` and `y` are (from, to); `ticks` and `y_ticks` name places on the axes,
    else they are round numbers; `summary`
    says it for those who do not see it. With `sketch` a stroke over the picture moves every handle
    that it passes."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str = ""
    y_label: str = ""
    ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    bars: Sequence[Bars] = ()
    curves: Sequence[Curve] = ()
    handles: Sequence[Handle] = ()
    summary: str = ""
    sketch: bool = False


class HandChart(anywidget.AnyWidget):
    """show(picture, values)  draws it, with the handles where `values` says

    values   id -> where the handle is; a person's move changes it
    moved    the handles that the last move was of; `on_move` is called with their values, from
             whatever thread the page's message comes in
    """

    _esm = module_of(REDRAW, Path(__file__).with_suffix(".js"))
    _css = CSS + Path(__file__).with_name("chart.css").read_text(encoding="utf-8")

    picture: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    values: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    moved: traitlets.List[str] = traitlets.List(trait=traitlets.Unicode()).tag(sync=True)
    height = traitlets.Int(220, min=80).tag(sync=True)
    label = traitlets.Unicode("chart").tag(sync=True)

    def __init__(self, on_move: Callable[[dict[str, float]], None], **traits: Any) -> None:
        super().__init__(**traits)
        self.layout.width = "calc(100% - 4px)"
        self._on_move = on_move
        # Of this thread: a move that a person makes meanwhile, in another, counts.
        self._showing = threading.local()
        self.observe(self._moved, "values")
        answer_in_the_subshell(self)

    def show(self, picture: Picture, values: Mapping[str, float]) -> None:
        """Draw this picture; an equal one is not sent again."""
        self._showing.now = True
        try:
            with self.hold_sync():
                drawn = asdict(picture)
                if drawn != self.picture:
                    self.picture = drawn
                if dict(values) != self.values:
                    self.values = dict(values)
        finally:
            self._showing.now = False

    def _moved(self, change: dict[str, Any]) -> None:
        if getattr(self._showing, "now", False):
            return
        # The others may be those of a picture that the page has not got yet.
        moved = {name: change["new"][name] for name in self.moved if name in change["new"]}
        self._on_move(held(self.picture, moved))


def held(picture: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, float]:
    """The values within their handles' ranges; what is no number, or no handle's, is left out."""
    handles = {handle["id"]: handle for handle in picture.get("handles", ())}
    return {
        name: min(max(float(value), handles[name]["low"]), handles[name]["high"])
        for name, value in values.items()
        if name in handles and isinstance(value, int | float) and math.isfinite(value)
    }
