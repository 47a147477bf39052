"""Figures as one plain SVG: the picture that a saved notebook keeps where no widget runs. No
browser, no kaleido.

It draws what the workbench's own charts use: lines, dots, error bars, closed areas, stacked areas,
two y axes, log axes, vertical markers, a note. Dark ink on white paper, because a saved notebook
may be shown on any page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.widgets.plots import Chart
from workbench.widgets.plots.decimate import keep

INK, GRID, PAPER = "#212121", "#DDDDDD", "#FFFFFF"
WIDTH, POINTS = 1120, 240
LEFT, RIGHT, BOTTOM = 56, 50, 34
DASH = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}


@dataclass(frozen=True)
class Axis:
    """Data to pixels: `low` at pixel `start`, `high` at `end`; logarithmic axes hold exponents."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    percent: bool = False
    parts: int = 5
    named: tuple[tuple[float, str], ...] = ()
    """The ticks with their texts, where the chart gives them."""

    def __call__(self, values: Any) -> np.ndarray:
        values = np.asarray(values, float)
        if self.log:
            values = np.log10(np.where(values > 0, values, np.nan))
        share = (values - self.low) / (self.high - self.low)
        places: np.ndarray[Any, Any] = self.start + share * (self.end - self.start)
        return places

    def ticks(self) -> list[tuple[float, str]]:
        """Values in data units, with their texts."""
        if self.named:
            return list(self.named)
        return self._log_ticks() if self.log else self._even_ticks()

    def _log_ticks(self) -> list[tuple[float, str]]:
        # Over few powers of ten 2 and 5 are marked, too; over many, some powers are left out.
        span = self.high - self.low
        every = max(1, round(span / 4))
        digits = (1, 2, 5) if span < 2.5 else (1,)
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1, every)
        marks = [digit * 10.0**exponent for exponent in exponents for digit in digits]
        inside = [v for v in marks if self.low <= math.log10(v) <= self.high]
        return [(v, f"{v:.3g}".replace("e-0", "e-")) for v in inside]

    def _even_ticks(self) -> list[tuple[float, str]]:
        step = _round_step((self.high - self.low) / self.parts)
        # The small number keeps a tick that rounding has put just outside the axis.
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        values = np.arange(first, last + 1) * step
        return [(v, self._tick_text(v)) for v in values]

    def _tick_text(self, value: float) -> str:
        if not self.percent:
            return f"{value:.4g}"
        digits = f"{value:.3%}".rstrip("0%").rstrip(".")
        return f"{digits}%"


def draw_svg(charts: Sequence[Chart], *, columns: int = 2, height: int = 230) -> str:
    """All charts in a grid of `columns`."""
    columns = min(columns, max(len(charts), 1))
    width = WIDTH / columns
    rows = -(-len(charts) // columns)
    parts = []
    for i, chart in enumerate(charts):
        place = f"translate({i % columns * width:.0f},{i // columns * height})"
        drawn = "".join(panel(chart, width, height, f"c{i}"))
        parts.append(f'<g transform="{place}">{drawn}</g>')
    # A picture says nothing to a screen reader: its description holds every panel in words.
    summaries = [chart["layout"].get("meta", {}).get("summary", "") for chart in charts]
    says = html.escape(" ".join(summaries), quote=False)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {rows * height}" '
        f'width="{WIDTH}" height="{rows * height}" '
        f'style="max-width:100%;height:auto" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><desc>'
        f"{says}</desc>"
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(parts)}</svg>'
    )


def panel(chart: Chart, width: float, height: float, clip: str) -> Iterator[str]:
    """The pieces of one panel."""
    layout = chart["layout"]
    meta = layout.get("meta", {})
    wanted_x = layout.get("xaxis", {})
    wanted_y = layout.get("yaxis", {})
    data = list(_stacked(chart["data"]))

    # The strip of labels lies between the roof of the data and the top of the plot.
    top = layout.get("margin", {}).get("t", 30)
    bottom = height - BOTTOM
    roof = bottom - (bottom - top) * wanted_y.get("domain", (0, 1))[1]
    x_axis = _axis([t["x"] for t in data], wanted_x, LEFT, width - RIGHT)
    left = [t for t in data if t.get("yaxis", "y") == "y"]
    right = [t for t in data if t.get("yaxis", "y") == "y2"]
    y_axis = _axis(_values(left), wanted_y, bottom, roof)
    y2_axis = None
    if "yaxis2" in layout:
        y2_axis = _axis(_values(right), layout["yaxis2"], bottom, roof)

    about = f" {meta['about']}" if meta.get("about") else ""
    yield _text(LEFT, 18, f'<tspan font-weight="bold">{meta.get("title", "")}</tspan>{about}')
    yield from _frame(x_axis, y_axis, y2_axis, wanted_y.get("visible", True))
    middle = (x_axis.start + x_axis.end) / 2
    yield _text(middle, bottom + 29, wanted_x.get("title", {}).get("text", ""), "middle")
    if layout.get("showlegend"):
        yield from _legend(data, top)

    # Clipped, because a line goes on past the axes where a range is given.
    inside = f'width="{width - LEFT - RIGHT}" height="{bottom - top}"'
    yield f'<clipPath id="{clip}"><rect x="{LEFT}" y="{top}" {inside}/></clipPath>'
    yield f'<g clip-path="url(#{clip})">'
    for shape in layout.get("shapes", ()):
        x = float(x_axis(shape["x0"]))
        pen = _stroke(shape, shape["line"].get("width", 1))
        # A browser shows an SVG's title while one points at the line.
        said = f"<title>{shape['name']}</title>" if "name" in shape else ""
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" {pen}>{said}</line>'
    for trace in data:
        own_axis = y_axis
        if trace.get("yaxis") == "y2" and y2_axis is not None:
            own_axis = y2_axis
        yield from _trace(trace, x_axis, own_axis)
    yield "</g>"

    # Outside the clip: labels stand above the data.
    for words in layout.get("annotations", ()):
        yield from _annotation(words, x_axis, top, bottom)


def _stacked(traces: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Traces, with those of a stack as closed areas on top of one another."""
    base: Any = 0.0
    for trace in traces:
        if "stackgroup" not in trace:
            yield trace
            continue
        # There along the top and back along the floor, which is the top of the area below.
        top = base + np.asarray(trace["y"], float)
        x = np.asarray(trace["x"], float)
        floor = np.broadcast_to(base, top.shape)
        yield trace | {
            "x": np.concatenate([x, x[::-1]]),
            "y": np.concatenate([top, floor[::-1]]),
            "fill": "toself",
        }
        base = top


def _values(traces: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    found = [np.asarray(t["y"], float) for t in traces]
    # An axis must have room for the ends of error bars, too.
    for t in traces:
        if bars := t.get("error_y"):
            y = np.asarray(t["y"], float)
            found += [y + bars["array"], y - bars["arrayminus"]]
    return found


def _axis(values: Sequence[Any], wanted: dict[str, Any], start: float, end: float) -> Axis:
    log = wanted.get("type") == "log"
    percent = "%" in wanted.get("tickformat", "")
    flat = np.zeros(0)
    if values:
        flat = np.concatenate([np.ravel(np.asarray(v, float)) for v in values])
    flat = flat[np.isfinite(flat)]
    if log:
        flat = np.log10(flat[flat > 0])
    low, high = (flat.min(), flat.max()) if len(flat) else (0.0, 1.0)
    if "range" in wanted:
        low, high = wanted["range"]
    elif wanted.get("rangemode") == "tozero" and not log:
        low, high = min(low, 0.0), max(high, 0.0)
    # A single value stands in the middle of an axis; one of 0 at its foot.
    if high == low:
        around = abs(low) / 2
        low, high = (low, low + 1) if low == 0 else (low - around, low + around)
    # A little air, except where a range is given, and below 0, which is to lie on the frame.
    pad = 0.0 if "range" in wanted else 0.04 * (high - low)
    pad_below = pad if low else 0
    named = tuple(zip(wanted.get("tickvals", ()), wanted.get("ticktext", ()), strict=False))
    if log:  # its range is in exponents, its ticks are values
        named = tuple((value, text) for value, text in named if value > 0)
    return Axis(low - pad_below, high + pad, start, end, log, percent, named=named)


def _frame(x_axis: Axis, y_axis: Axis, y2_axis: Axis | None, with_y: bool) -> Iterator[str]:
    for value, text in y_axis.ticks() if with_y else ():
        y = float(y_axis(value))
        ends = f'x1="{x_axis.start:.0f}" x2="{x_axis.end:.0f}"'
        yield f'<line {ends} y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield _text(x_axis.start - 6, y + 4, text, "end")
    for value, text in y2_axis.ticks() if y2_axis else ():
        yield _text(x_axis.end + 6, float(y2_axis(value)) + 4, text)  # type: ignore[misc]
    for value, text in x_axis.ticks():
        yield _text(float(x_axis(value)), y_axis.start + 15, text, "middle")


def _legend(traces: Sequence[dict[str, Any]], top: float) -> Iterator[str]:
    at = float(LEFT)
    for trace in traces:
        if trace.get("showlegend", True):
            ends = f'x1="{at:.0f}" x2="{at + 24:.0f}"'
            yield f'<line {ends} y1="{top - 9}" y2="{top - 9}" {_stroke(trace, 2.5)}/>'
            yield _text(at + 29, top - 5, trace["name"])
            at += 44 + 6.6 * len(html.unescape(trace["name"]))


def _annotation(words: dict[str, Any], x_axis: Axis, top: float, bottom: float) -> Iterator[str]:
    """The lines of a text that plotly would put at the same place."""
    # "paper" counts from edge to edge of the plot, whatever the axis says.
    if words["xref"] == "x":
        x = float(x_axis(words["x"]))
    else:
        x = x_axis.start + words["x"] * (x_axis.end - x_axis.start)
    # SVG places a text by its base line, which lies below its top.
    below_top = 11 if words["yanchor"] == "top" else 0
    y = bottom - words["y"] * (bottom - top) + below_top
    anchor = {"left": "start", "right": "end"}.get(words.get("xanchor", ""), "middle")
    for i, text in enumerate(words["text"].split("<br>")):
        yield _text(x + words.get("xshift", 0), y + 14 * i, text, anchor)


def _trace(trace: dict[str, Any], x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    closed = trace.get("fill") == "toself"
    x = np.asarray(trace["x"], float)
    y = np.asarray(trace["y"], float)
    bars = trace.get("error_y")
    # A saved notebook should stay small; an area would lose its corners, a bar its point.
    kept = slice(None) if closed or bars else keep(y, limit=POINTS)
    px = x_axis(x[kept])
    py = y_axis(y[kept])
    fill = f'fill="{trace["fillcolor"]}"' if closed else 'fill="none"'
    pen = _stroke(trace, trace.get("line", {}).get("width", 2))
    colour = _colour(trace)
    if "lines" in trace.get("mode", "lines"):
        opacity = trace.get("opacity", 1)
        yield (
            f'<path d="{_path(px, py, closed)}" {fill} {pen} opacity="{opacity}" '
            'stroke-linejoin="round"/>'
        )
    if bars:
        top = y_axis(y + bars["array"])
        bottom = y_axis(y - bars["arrayminus"])
        d = "".join(
            f"M{a:.1f},{b:.1f}V{c:.1f}"
            for a, b, c in zip(px, top, bottom, strict=True)
            if np.isfinite(a + b + c)
        )
        yield f'<path d="{d}" stroke="{colour}"/>'
    if "markers" in trace.get("mode", ""):
        size = trace.get("marker", {}).get("size", 5) / 2
        dots = "".join(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{size}"/>'
            for a, b in zip(px, py, strict=True)
            if np.isfinite(a + b)
        )
        yield f'<g fill="{colour}">{dots}</g>'


def _path(px: np.ndarray, py: np.ndarray, closed: bool) -> str:
    """Stretches between gaps."""
    there = np.isfinite(px) & np.isfinite(py)
    changes = np.diff(there.astype(int))
    cuts = np.flatnonzero(changes) + 1
    stretches = [s for s in np.split(np.arange(len(px)), cuts) if len(s) and there[s[0]]]
    end = "Z" if closed else ""
    paths = ["L".join(f"{px[i]:.1f},{py[i]:.1f}" for i in stretch) for stretch in stretches]
    return "".join(f"M{path}{end}" for path in paths)


def _stroke(drawn: dict[str, Any], width: float) -> str:
    dash = DASH.get(drawn.get("line", {}).get("dash", "solid"), "")
    pen = f'stroke="{_colour(drawn)}" stroke-width="{width}"'
    return f'{pen} stroke-dasharray="{dash}"' if dash else pen


def _colour(drawn: dict[str, Any]) -> str:
    return drawn.get("line", {}).get("color") or drawn.get("marker", {}).get("color") or INK


def _text(x: float, y: float, inert: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{inert}</text>'


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
