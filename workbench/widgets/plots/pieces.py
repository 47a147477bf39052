"""Plotly charts as plain JSON with numpy arrays: the pieces that panels are built of. Pure; no
widget is made here.

Names of runs and reward functions, and values of knobs, come from a record that somebody else may
have written: they go through `plot_text`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.widgets.base.style import COLOURS, DASHES
from workbench.widgets.plots import Chart
from workbench.widgets.plots.decimate import POINTS, bucket_size, decimate, keep, means

Trace = dict[str, Any]
GREY = "#7F7F7F"
"""Holds 3:1 on white and on a dark page, as the four colours do."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
PATTERNS = ("", "/", ".", "\\")
TEXT, TITLE, SMALL = 13, 14, 12
ROW = 0.11
"""Height of a row of small text as a share of the plot's."""
LEGEND_WIDTH = 470
"""Pixels across a panel of two columns at 1280 pixels."""
TREND = 150
"""Points of the trend of a line that is too long to draw every step."""
FEW = 40
"""A line of fewer points shows them as dots, too: a single step would draw nothing."""


@dataclass(frozen=True)
class Look:
    """How a line looks: colour, dash and symbol, so that no two are told apart by colour alone."""

    colour: str
    dash: str
    symbol: str


def look(i: int) -> Look:
    """The i-th look; 16 differ."""
    # The second round of four shifts dash and symbol, so that no pair with a colour comes again.
    shifted = (i + i // 4) % 4
    return Look(COLOURS[i % 4], DASHES[shifted], SYMBOLS[shifted])


def faint(colour: str) -> str:
    """A #RRGGBB colour, see-through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def plot_text(text: Any, limit: int = 32) -> str:
    """Foreign text made inert for plotly's small HTML and for SVG: escaped, invisible characters
    spelled out, cut."""
    # Cut before it is spelled out, so that a huge name costs nothing; and after it, to the limit.
    characters = str(text)[: 4 * limit]
    shown = "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in characters)
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return html.escape(shown, quote=False)


def lines(
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    style: Look,
    *,
    thin: bool = False,
    legend: bool = True,
    **more: Any,
) -> list[Trace]:
    """A line; one that is too long to draw every point as its extremes, thin, with its trend on
    top. `name` is inert text."""
    width = 1.2 if thin else 2
    size = trend_size(len(y))
    if size == 1:
        few = len(y) <= FEW or _has_lone_points(y)
        mode = "lines+markers" if few else "lines"
        line = _line(x, y, name, style, width, mode=mode, showlegend=legend, **more)
        return [line | {"meta": {"smooth": True}}]

    # The extremes keep every spike that the trend's means would smooth away.
    kept_x, kept_y = decimate(x, y)
    extremes = _line(
        kept_x, kept_y, name, style, 0.7, mode="lines", showlegend=False, opacity=0.6, **more
    )
    # Dashes of so dense a line would run into one another; the trend has the run's own.
    extremes["line"]["dash"] = "solid"
    trend_x = means(x, size)
    trend_y = means(y, size)
    trend = _line(trend_x, trend_y, name, style, width, mode="lines", showlegend=legend, **more)
    del trend["hovertemplate"]  # what is read off, and clicked, are values of real steps
    return [extremes, trend | {"meta": {"mean_of": size, "smooth": True}, "hoverinfo": "skip"}]


def trend_size(steps: int) -> int:
    """Steps that one point of a trend stands for; 1 while every step is drawn."""
    return bucket_size(steps, TREND) if steps > POINTS else 1


def _line(x: np.ndarray, y: np.ndarray, name: str, style: Look, width: float, **more: Any) -> Trace:
    # A gap, as for a missing value: an infinite one would stretch the axis without end.
    y = np.where(np.isfinite(y), y, np.nan).astype("f4")
    return {
        "type": "scatter",
        "x": np.asarray(x).astype("f4"),
        "y": y,
        "name": name,
        "hovertemplate": "%{y:.4~g}",
        "line": {"color": style.colour, "dash": style.dash, "width": width},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 3 + width},
        **more,
    }


def _has_lone_points(y: np.ndarray) -> bool:
    """True when a point stands between two gaps, where a line alone shows nothing."""
    there = np.pad(np.isfinite(y), 1)
    return bool((there[1:-1] & ~there[:-2] & ~there[2:]).any())


def band(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, colour: str, **more: Any
) -> Trace:
    """The area from `low` to `high` (of a long one the trend), one polygon per stretch without a
    gap."""
    size = trend_size(len(x))
    x = means(x, size)
    low = means(low, size)
    high = means(high, size)
    there = np.isfinite(low) & np.isfinite(high)
    changes = np.diff(there.astype(int))
    cuts = np.flatnonzero(changes) + 1
    stretches = [s for s in np.split(np.arange(len(x)), cuts) if len(s) and there[s[0]]]
    # Along the upper edge and back along the lower one; the NaN keeps two polygons apart.
    gap = [np.array([np.nan])]
    xs = [part for s in stretches for part in (x[s], x[s][::-1], *gap)] or gap
    ys = [part for s in stretches for part in (high[s], low[s][::-1], *gap)] or gap
    return {
        "type": "scatter",
        "x": np.concatenate(xs).astype("f4"),
        "y": np.concatenate(ys).astype("f4"),
        "name": name,
        "mode": "lines",
        "line": {"width": 0, "color": colour},
        "fill": "toself",
        "hoverinfo": "skip",
        "fillcolor": faint(colour),
        **more,
    }


def points(
    x: np.ndarray,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    name: str,
    style: Look,
    **more: Any,
) -> Trace:
    """Points with error bars from `low` to `high` (NaN = none)."""
    # With bars it is their ends that reach farthest, so they decide which points are kept.
    has_bars = np.isfinite(low).any()
    kept = keep(low, high) if has_bars else keep(y)
    x, y, low, high = (np.asarray(values, float)[kept].astype("f4") for values in (x, y, low, high))
    bars = {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(high - y),
        "arrayminus": np.nan_to_num(y - low),
        "thickness": 1.2,
        "width": 3,
        "color": style.colour,
    }
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "error_y": bars,
        "name": name,
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 7},
        **more,
    }


def stack(
    x: np.ndarray,
    parts: Mapping[str, np.ndarray],
    *,
    colours: Mapping[str, str] | None = None,
    template: str = "%{y:.3~g} s",
) -> list[Trace]:
    """Areas on top of one another, of long ones the trend. Missing values count 0. `colours` are
    those of some parts, where a name has one of its own."""
    size = trend_size(len(x))
    x = means(x, size).astype("f4")
    traces = []
    for i, (name, values) in enumerate(parts.items()):
        own = COLOURS[i] if i < len(COLOURS) else GREY
        colour = (colours or {}).get(name, own)
        pattern = {
            "shape": PATTERNS[i % 4],
            "fgcolor": colour,
            "bgcolor": faint(colour),
            "size": 7,
            "solidity": 0.25,
        }
        # A gap in one area would tear a hole into all that lie on it.
        heights = means(np.nan_to_num(values), size)
        area = {
            "type": "scatter",
            "x": x,
            "y": heights.astype("f4"),
            "name": name,
            "mode": "lines",
            "stackgroup": "all",
            "line": {"color": colour, "width": 1.5, "dash": DASHES[i % 4]},
            "hovertemplate": template,
            "fillcolor": faint(colour),
            "fillpattern": pattern,
            "meta": {"mean_of": size},
        }
        traces.append(area)
    return traces


def marker(
    x: float, *, colour: str = GREY, dash: str = "dot", width: float = 1.0, text: str = ""
) -> dict[str, Any]:
    """A vertical line at `x` through the whole panel. `text` (inert) is shown while a person points
    at it."""
    return {
        **({"name": text} if text else {}),
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": float(x),
        "x1": float(x),
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": colour, "dash": dash, "width": width},
    }


@dataclass(frozen=True)
class Strip:
    """What stands above the data: vertical lines, and labels as (row, x, text, side of the line);
    texts are inert."""

    shapes: list[dict[str, Any]]
    labels: Sequence[tuple[int, float, str, str]]

    @property
    def rows(self) -> int:
        return max((row + 1 for row, *_ in self.labels), default=0)

    def annotations(self) -> list[dict[str, Any]]:
        return [self._label(*label) for label in self.labels]

    def _label(self, row: int, x: float, text: str, side: str) -> dict[str, Any]:
        # A little away from its line, to the side on which it stands.
        shift = 3 if side == "left" else -3
        return _words(
            text, x=x, xref="x", y=1 - ROW * row, yanchor="top", xanchor=side, xshift=shift
        )


def _words(text: str, **where: Any) -> dict[str, Any]:
    return {
        "text": text,
        "yref": "paper",
        "showarrow": False,
        "borderpad": 0,
        "font": {"size": SMALL},
        **where,
    }


def make_chart(
    title: str,
    about: str,
    traces: Sequence[Trace],
    *,
    x_range: tuple[float, float],
    strip: Strip | None = None,
    y: Mapping[str, Any] | None = None,
    y2: Mapping[str, Any] | None = None,
    note: str = "",
) -> Chart:
    """A panel over the steps: a title with what the y axis means, a legend where there are names to
    tell apart, the strip above the data, and a note in words (in the middle when there is nothing
    else)."""
    strip = strip or Strip([], [])
    # A second axis takes some of the legend's width for its numbers.
    named = [t["name"] for t in traces if t.get("showlegend", True)]
    room = LEGEND_WIDTH - 32 if y2 else LEGEND_WIDTH
    legend_rows = _legend_rows(named, room)
    notes, rows = _note_above(note, strip.rows, bool(traces))
    layout: dict[str, Any] = {
        "meta": {
            "title": title,
            "about": about,
            "summary": summary(title, about, traces, note),
            "strip": True,
        },
        "title": _title(title, about),
        "font": {"size": TEXT},
        "margin": {"l": 56, "r": 52 if y2 else 20, "t": 28 + 18 * legend_rows, "b": 36},
        "hovermode": "x unified",
        "showlegend": legend_rows > 0,
        "legend": LEGEND,
        "xaxis": _step_axis(x_range, traces),
        "yaxis": {"nticks": 5, "domain": [0, 1 - ROW * rows], **NUMBERS, **(y or {})},
        "shapes": strip.shapes,
        "annotations": strip.annotations() + notes,
    }
    if not traces:
        layout["yaxis"]["visible"] = False  # no numbers on an axis without values
    if y2:
        layout["yaxis2"] = {"overlaying": "y", "side": "right", "showgrid": False, **NUMBERS, **y2}
    return {"data": list(traces), "layout": layout}


def step_range(first: int, last: int) -> tuple[float, float]:
    """An axis from `first` to `last` with a little room at both ends, so that the points there are
    whole."""
    room = max(0.015 * (last - first), 0.2)
    return first - room, last + room


def step_ticks(first: int, last: int, most: int = 7) -> list[int]:
    """Round steps between `first` and `last`, about `most` of them, and `first` itself."""
    size = 1
    while (last - first) / size > most:
        # 1, 2, 5, 10, 20, 50 …
        size = size * 5 // 2 if str(size)[0] == "2" else size * 2
    ticks = list(range(-(-first // size) * size, last + 1, size))
    # The first step is named wherever its number has room beside the next.
    if ticks[:1] != [first]:
        ticks = [first, *(tick for tick in ticks if tick - first >= size / 2)]
    return ticks


def over_steps(chart: Chart, first: int, last: int) -> Chart:
    """The chart with round steps along its x axis; "step" stands at the first number and takes no
    row of its own."""
    axis = chart["layout"]["xaxis"]
    ticks = step_ticks(first, last)
    axis["tickvals"] = ticks
    axis["ticktext"] = [f"step {ticks[0]}", *(str(tick) for tick in ticks[1:])]
    if axis["title"]["text"] == "step":
        del axis["title"]
        chart["layout"]["margin"]["b"] = 22
    return chart


NUMBERS: dict[str, Any] = {
    "tickfont": {"size": SMALL},
    "zeroline": False,
    # 0.0008, where plotly would write 800µ.
    "exponentformat": "power",
    "minexponent": 5,
}
"""How every axis writes its numbers."""

LEGEND: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1,
    "yanchor": "bottom",
    "font": {"size": SMALL},
    "bgcolor": "rgba(0,0,0,0)",
}
"""One line of names between the title and the data."""


def _title(title: str, about: str) -> dict[str, Any]:
    return {
        "text": f'<b>{title}</b> <span style="font-size:.86em">{about}</span>',
        "font": {"size": TITLE},
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 6},
    }


def _step_axis(x_range: tuple[float, float], traces: Sequence[Trace]) -> dict[str, Any]:
    """The axis of the steps; it says over how many of them a thick line is the mean."""
    trend = max((t.get("meta", {}).get("mean_of", 1) for t in traces), default=1)
    steps = f"step (thick: mean of {trend} steps, thin: extremes)" if trend > 1 else "step"
    low, high = x_range
    # Half a step is none: on a short axis every step has its mark, and no number stands twice.
    marks = {"dtick": 1} if high - low <= 8 else {"nticks": 8}
    return {
        "range": [low, high],
        "title": {"text": steps, "standoff": 2, "font": {"size": SMALL}},
        "tickformat": "d",
        "hoverformat": "d",
        **marks,
        "spikethickness": 1,
        "spikecolor": GREY,
        "spikedash": "solid",
        **NUMBERS,
    }


def _note_above(note: str, rows: int, has_data: bool) -> tuple[list[dict[str, Any]], int]:
    """The note as an annotation, and the rows that strip and note take: above the data it has rows
    of its own, in an empty panel it stands in the middle and takes none."""
    if not note:
        return [], rows
    if not has_data:
        return [_words(note, x=0.5, xref="paper", y=0.45, yanchor="middle")], rows
    above = _words(note, x=0.5, xref="paper", y=1 - ROW * rows, yanchor="top")
    return [above], rows + note.count("<br>") + 1


def _legend_rows(names: Sequence[str], room: float) -> int:
    """Rows that plotly needs for a legend of these names: columns are as wide as the longest
    one."""
    if len(names) < 2:
        return 0
    # Pixels of each entry: about 6.3 a character, and 40 for its line and the space around it.
    widths = [6.3 * len(html.unescape(name)) + 40 for name in names]
    across = len(names)
    if sum(widths) > room:
        across = max(int(room / max(widths)), 1)
    rows = -(-len(names) // across)
    # A longer legend would take the plot's place; the page measures the true one.
    return min(rows, 3)


def summary(title: str, about: str, traces: Sequence[Trace], note: str) -> str:
    """The panel in words, for screen readers and as the text of a saved notebook."""
    # What cannot be read off (bands, trends) is not read out either.
    said = [_said(t) for t in traces if t.get("hoverinfo") != "skip" and np.isfinite(t["y"]).any()]
    values = "; ".join(said) or "nothing to draw yet"
    words = note.replace("<br>", " ") or values
    return html.unescape(f"{title} ({about}): {words}.")


def _said(trace: Trace) -> str:
    x = trace["x"]
    y = trace["y"]
    lowest = np.nanargmin(y)
    highest = np.nanargmax(y)
    last = np.flatnonzero(np.isfinite(y))[-1]
    return (
        f"{trace['name']} {y[last]:.4g} at step {_place(x[last])}, lowest {y[lowest]:.4g} at "
        f"{_place(x[lowest])}, "
        f"highest {y[highest]:.4g} at {_place(x[highest])}"
    )


def _place(x: float) -> str:
    """A step in full, or another quantity on the x axis with four digits."""
    return f"{x:.0f}" if x == round(x) else f"{x:.4g}"
