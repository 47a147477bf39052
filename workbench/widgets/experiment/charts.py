"""The pictures of an experiment: the curves of the variants with their bands, and the paired
differences with their intervals as a forest plot. Pure: widget and tests share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.experiment import Difference, Result
from workbench.experiment.outcomes import ACCURACY, Row
from workbench.experiment.words import difference_words, percent
from workbench.widgets.plots import Chart
from workbench.widgets.plots.pieces import (
    GREY,
    Look,
    Trace,
    band,
    lines,
    look,
    make_chart,
    marker,
    plot_text,
)

NOTHING = "no run has been evaluated yet"
NO_PAIR = "no two runs of a seed are finished yet"
ROOM = 0.08
"""Of the forest plot's width, left and right of what it shows."""


def curves(result: Result) -> Chart:
    """The mean of each variant over the seeds, with the band from its lowest to its highest run;
    the controls' bands are grey."""
    traces: list[Trace] = []
    # The bands lie below all lines.
    for place, row in enumerate(result.rows):
        traces += _band(row, _look(row, place))
    for place, row in enumerate(result.rows):
        traces += _mean(row, _look(row, place))
    last = max((row.curve[-1][0] for row in result.rows if row.curve), default=1)
    is_share = result.plan.metric == ACCURACY
    return make_chart(
        "held-out accuracy" if is_share else plot_text(result.plan.metric),
        "mean over the seeds; band: lowest to highest run",
        traces,
        x_range=(-0.01 * last - 0.2, max(last * 1.01, last + 0.2)),
        y={"tickformat": ".3~%"} if is_share else None,
        note="" if traces else NOTHING,
    )


def _look(row: Row, place: int) -> Look:
    style = look(place)
    # A control is told apart by its grey and its dots, whatever its place.
    return style if row.variant.control is None else Look(GREY, "dot", style.symbol)


def _band(row: Row, style: Look) -> list[Trace]:
    steps, _, low, high = _columns(row)
    if len(steps) < 2:
        return []
    return [band(steps, low, high, plot_text(row.name), style.colour, showlegend=False)]


def _mean(row: Row, style: Look) -> list[Trace]:
    steps, mean, _, _ = _columns(row)
    return lines(steps, mean, plot_text(row.name), style) if len(steps) else []


def _columns(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(row.curve, float).reshape(-1, 4)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def forest(result: Result) -> Chart:
    """Each paired difference with its interval, a line each; 0 is where two are alike. Blue: the
    interval leaves 0 out; orange: below 0; grey: these runs cannot tell."""
    found = [d for d in _all(result) if d.interval.n > 0]
    factor = 100 if result.plan.metric == ACCURACY else 1
    traces = [
        trace
        for place, difference in enumerate(reversed(found))
        for trace in _whisker(difference, place, factor)
    ]
    unit = "percentage points" if factor == 100 else plot_text(result.plan.metric)
    chart = make_chart(
        "paired differences",
        f"{unit}, with {percent(result.plan.level)} intervals",
        traces,
        x_range=_range(traces),
        y={"range": [-0.5, max(len(found), 1) - 0.5]},
        note="" if traces else NO_PAIR,
    )
    layout = chart["layout"]
    # Names stand above their lines: beside them, long ones would take the plot's place.
    layout["yaxis"]["visible"] = False
    middle = sum(_range(traces)) / 2
    layout["annotations"] += [
        _name(difference, factor, middle, (place + 0.76) / len(found))
        for place, difference in enumerate(reversed(found))
    ]
    layout["hovermode"] = "closest"
    layout["shapes"] = [marker(0.0, dash="solid", width=1.5)]
    layout["xaxis"]["title"] = {"text": unit, "standoff": 2, "font": {"size": 12}}
    layout["xaxis"]["tickformat"] = ""
    layout["xaxis"]["hoverformat"] = ""
    said = [difference_words(difference, result.plan.metric) for difference in found]
    layout["meta"]["summary"] = "paired differences: " + (" ".join(said) or NO_PAIR)
    return chart


def _all(result: Result) -> Sequence[Difference]:
    return [*result.differences, *result.against_controls]


def _label(difference: Difference) -> str:
    return plot_text(f"{difference.of} − {difference.than}", 60)


def _name(difference: Difference, factor: int, middle: float, height: float) -> dict[str, Any]:
    """The name of a line, above its dot and reaching to the middle of the plot, where there is
    room; `height` is a share of the plot's."""
    x = factor * difference.interval.value
    return {
        "text": _label(difference),
        "x": x,
        "xref": "x",
        "xanchor": "left" if x < middle else "right",
        "y": height,
        "yref": "paper",
        "yanchor": "middle",
        "showarrow": False,
        "borderpad": 0,
        "font": {"size": 12},
    }


def _whisker(difference: Difference, place: int, factor: float) -> list[Trace]:
    interval = difference.interval
    low, high = interval.low, interval.high
    if math.isnan(low):  # a single seed has no interval
        low = high = interval.value
    # Neither colour nor symbol alone says it: the label and the line at 0 do, too.
    style = {"better": look(0), "worse": look(1)}.get(
        difference.verdict, Look(GREY, "dot", "circle-open")
    )
    ends = factor * np.array([low, high])
    mean = factor * np.array([interval.value])
    more = {"hovertemplate": "%{x:.3~g}"}
    whisker = lines(ends, np.full(2, float(place)), _label(difference), style, legend=False)[0]
    dot = lines(mean, np.full(1, float(place)), _label(difference), style, legend=False)[0]
    size = {"color": style.colour, "symbol": style.symbol, "size": 11}
    return [whisker | more, dot | more | {"mode": "markers", "marker": size}]


def _range(traces: Sequence[Trace]) -> tuple[float, float]:
    ends = np.concatenate([[0.0], *(np.asarray(trace["x"], float) for trace in traces)])
    low, high = float(ends.min()), float(ends.max())
    pad = ROOM * (high - low) or 1.0
    return low - pad, high + pad
