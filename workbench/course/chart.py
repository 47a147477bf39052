"""Lines over numbers in the dashboard's look: an interactive plot in a live notebook, an SVG
picture in a saved one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.widgets.plots import Chart
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.plots.pieces import Strip, lines, look, make_chart, marker, plot_text, points


def panel(
    title: str,
    x: Any,
    ys: Mapping[str, Any],
    *,
    about: str = "",
    x_title: str = "",
    y_title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    y_range: Sequence[float] | None = None,
    dots: bool = False,
    verticals: Mapping[str, float] | None = None,
) -> Chart:
    """One panel: a line (`dots`: points) for each name of `ys` over `x`, all of one length;
    `verticals` are named lines at an x.

    Values that are not finite leave a gap. Raises ValueError for lengths that differ and for an x
    without two values.
    """
    x = np.asarray(x, float)
    curves = {name: np.asarray(y, float) for name, y in ys.items()}
    _check_lengths(title, x, curves)
    traces = [
        trace
        for i, (name, y) in enumerate(curves.items())
        for trace in _curve(x, y, plot_text(name), i, dots)
    ]
    drawn = make_chart(
        plot_text(title, 60),
        plot_text(about, 90),
        traces,
        x_range=_span(x, log_x),
        strip=_strip(verticals or {}, log_x),
        y={
            "title": {"text": plot_text(y_title, 60)},
            **_scale(log_y),
            **({"range": list(y_range)} if y_range else {}),
        },
    )
    _name_the_x(drawn["layout"], x_title, log_x)
    return drawn


def _check_lengths(title: str, x: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    for name, y in curves.items():
        if y.shape != x.shape:
            raise ValueError(
                f"panel {title!r}: {name!r} has {y.size} values, x has {x.size}. Give them the "
                "same length."
            )
    if x.size < 2:
        raise ValueError(f"panel {title!r}: x has {x.size} values; a line needs two.")


def _name_the_x(layout: dict[str, Any], x_title: str, log_x: bool) -> None:
    """Along the x of the dashboard's charts go steps; here it is what the caller says."""
    layout["xaxis"] |= {
        "title": {"text": plot_text(x_title, 60), "standoff": 8, "font": {"size": 13}},
        "tickformat": "",
        "hoverformat": ".4~g",
        **_scale(log_x),
    }
    said = layout["meta"]["summary"].replace(" at step ", f" at {plot_text(x_title or 'x', 60)} ")
    layout["meta"]["summary"] = said.replace(" ():", ":", 1)
    layout["margin"]["b"] = 46


def chart(*panels: Chart, columns: int = 2, height: int = 280, label: str = "chart") -> LivePlot:
    """The panels side by side; write it as the last line of a cell."""
    if not panels:
        raise ValueError("chart() needs at least one panel(...).")
    return LivePlot(list(panels), columns=min(columns, len(panels)), height=height, label=label)


def _curve(x: np.ndarray, y: np.ndarray, name: str, i: int, dots: bool) -> list[dict[str, Any]]:
    if dots:
        none = np.full_like(y, np.nan)
        return [points(x, y, none, none, name, look(i), mode="markers")]
    return [trace | {"mode": "lines"} for trace in lines(x, y, name, look(i))]


def _span(x: np.ndarray, log: bool) -> tuple[float, float]:
    x = np.log10(x) if log else x
    low = float(np.nanmin(x))
    high = float(np.nanmax(x))
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _strip(verticals: Mapping[str, float], log: bool) -> Strip:
    """A row for each name, so that none covers another."""
    labels = [
        (row, float(np.log10(at)) if log else at, plot_text(name), "left")
        for row, (name, at) in enumerate(verticals.items())
    ]
    return Strip([marker(at) for at in verticals.values()], labels)


def _scale(log: bool) -> dict[str, Any]:
    return {"type": "log"} if log else {}
