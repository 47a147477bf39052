"""Ghost future: what a branch's parent went on to do, as a pale line ahead of the branch's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workbench.widgets.base.source import RunSource
from workbench.widgets.plots import Chart
from workbench.widgets.plots.pieces import Trace, lines, look, plot_text

GHOST = 0.45
"""How pale a path is that lies ahead: that of a run which has gone on."""


def with_ghost(drawn: Sequence[Chart], sources: Sequence[RunSource]) -> list[Chart]:
    """The overview's charts of a branch alone, with its parent's recorded path as a pale line from
    the fork on."""
    parent = sources[0].parent if len(sources) == 1 else None
    if parent is None:
        return list(drawn)
    fork = sources[0].fork or 0
    return [_with_ghost(chart, parent, fork) for chart in drawn]


def _with_ghost(chart: Chart, parent: RunSource, fork: int) -> Chart:
    made = GHOSTS.get(chart["layout"]["meta"]["title"])
    traces = made(parent, fork) if made else []
    if not traces:
        return chart
    layout = dict(chart["layout"])
    start, end = layout["xaxis"]["range"]
    reach = max(end, parent.last_step * 1.01)
    layout["xaxis"] = layout["xaxis"] | {"range": [start, reach]}
    name = plot_text(parent.label, 24)
    meta = layout["meta"]
    said = f"{meta['summary']} Pale: what {name} did after step {fork}."
    layout["meta"] = meta | {"summary": said}
    # First, so that it lies below the run's own lines.
    return {"data": [*traces, *chart["data"]], "layout": layout}


def _ghost_of(metric: str) -> Callable[[RunSource, int], list[Trace]]:
    def traces(parent: RunSource, fork: int) -> list[Trace]:
        frame = parent.metrics
        if metric not in frame:
            return []
        after = frame[frame["step"] >= fork]
        return _pale(parent, after["step"].to_numpy(float), after[metric].to_numpy(float))

    return traces


def _ghost_of_evaluations(parent: RunSource, fork: int) -> list[Trace]:
    table = parent.evaluations
    if not len(table):
        return []
    table = table[(table["split"] == table["split"].iloc[0]) & (table["step"] >= fork)]
    return _pale(parent, table["step"].to_numpy(float), table["accuracy"].to_numpy(float))


def _pale(parent: RunSource, step: np.ndarray, value: np.ndarray) -> list[Trace]:
    if not np.isfinite(value).any():
        return []
    name = f"{plot_text(parent.label, 18)} went on"
    found: list[Trace] = lines(step, value, name, look(0), opacity=GHOST, legend=False)
    for trace in found:
        trace["mode"] = "lines"
        trace["line"] = trace["line"] | {"dash": "dot"}
    return found


GHOSTS: dict[str, Callable[[RunSource, int], list[Trace]]] = {
    "reward": _ghost_of("reward"),
    "kl": _ghost_of("kl"),
    "held-out accuracy": _ghost_of_evaluations,
}
"""Title of an overview's chart -> how the parent's path is drawn in it."""
