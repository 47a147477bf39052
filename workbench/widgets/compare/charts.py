"""The charts of the comparison: a metric of every run that is shown, and its difference to one of
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.widgets.compare.differences import (
    Difference,
    held_out_difference,
    metric_difference,
)
from workbench.widgets.compare.family import Member
from workbench.widgets.overview.ghost import GHOST
from workbench.widgets.plots import Chart
from workbench.widgets.plots.pieces import (
    Strip,
    Trace,
    band,
    lines,
    look,
    make_chart,
    marker,
    plot_text,
    points,
)

SHARE = {"tickformat": ".0%"}
METRICS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("held-out accuracy", "held_out", SHARE),
    ("reward", "reward", {}),
    ("KL", "kl", {}),
)
"""Title, metric ("held_out": the evaluations), its axis."""


@dataclass(frozen=True)
class Shown:
    """What the charts show: the members whose eye is open; `focus` is one of them, `reference` that
    which the others are held against; with `since` steps count from the focus's fork."""

    members: Sequence[Member]
    focus: Member
    reference: Member
    since: int = 0


def charts(shown: Shown) -> list[Chart]:
    """Two for each metric: the curves, and beside them the differences."""
    found = []
    for title, metric, axis in METRICS:
        found.append(_curves(shown, title, metric, axis))
        found.append(_differences(shown, title, metric, axis))
    return found


def _curves(shown: Shown, title: str, metric: str, axis: dict[str, Any]) -> Chart:
    draw = _evaluated if metric == "held_out" else _measured
    traces: list[Trace] = []
    for member in shown.members:
        traces += draw(member, metric, shown)
    return _chart(shown, title, "of each run", traces, axis)


def _measured(member: Member, metric: str, shown: Shown) -> list[Trace]:
    """A run's line; what of its parent's lies ahead of the focus is pale."""
    frame = member.source.metrics
    if metric not in frame:
        return []
    step = frame["step"].to_numpy(float)
    value = frame[metric].to_numpy(float)
    name = plot_text(member.source.label, 24)
    ahead = _ahead(member, shown, step)
    traces = []
    looks: list[tuple[np.ndarray, dict[str, Any]]] = [
        (~ahead, {}),
        (ahead, {"opacity": GHOST, "legend": False}),
    ]
    for part, more in looks:
        if part.any():
            drawn = lines(step[part] - shown.since, value[part], name, look(member.place), **more)
            traces += drawn
    return traces


def _evaluated(member: Member, metric: str, shown: Shown) -> list[Trace]:
    table = member.source.evaluations
    if not len(table):
        return []
    table = table[table["split"] == table["split"].iloc[0]]
    step, value, low, high = (
        table[name].to_numpy(float) for name in ("step", "accuracy", "low", "high")
    )
    name = plot_text(member.source.label, 24)
    ahead = _ahead(member, shown, step)
    style = look(member.place)
    traces = []
    for part, more in ((~ahead, {}), (ahead, {"opacity": GHOST, "showlegend": False})):
        if part.any():
            at = step[part] - shown.since
            traces.append(points(at, value[part], low[part], high[part], name, style, **more))
    return traces


def _ahead(member: Member, shown: Shown, step: np.ndarray) -> np.ndarray:
    """Where a member's steps lie ahead of the focus, which branched from it: its ghost future."""
    is_parent = shown.focus.parent == member.place
    ahead: np.ndarray = step > shown.focus.source.last_step
    return ahead & is_parent


def _differences(shown: Shown, title: str, metric: str, axis: dict[str, Any]) -> Chart:
    reference = shown.reference
    about = f"minus {plot_text(reference.source.label, 24)}"
    traces: list[Trace] = []
    for member in shown.members:
        found = None if member is reference else _difference(member, reference, metric)
        if found is not None:
            traces += _difference_traces(member, found, shown.since, metric)
    if not traces:
        note = "nothing to compare: no step in common after the fork"
        return _chart(shown, title, about, [], axis, note)
    return _chart(shown, title, about, traces, axis | {"zeroline": True})


def _difference(member: Member, reference: Member, metric: str) -> Difference | None:
    """After the fork: before it the two are one."""
    after = shared_steps(member, reference)
    if metric == "held_out":
        return held_out_difference(member.source, reference.source, after)
    return metric_difference(member.source, reference.source, metric, after)


def shared_steps(member: Member, other: Member) -> int:
    """The steps that two runs have in common because one branched from the other."""
    if member.parent == other.place:
        return member.fork or 0
    if other.parent == member.place:
        return other.fork or 0
    return 0


def _difference_traces(member: Member, found: Difference, since: int, metric: str) -> list[Trace]:
    name = plot_text(member.source.label, 24)
    style = look(member.place)
    step = found.step - since
    if metric == "held_out":
        return [points(step, found.value, found.low, found.high, name, style)]
    spread = band(step, found.low, found.high, name, style.colour, showlegend=False)
    return [spread, *lines(step, found.value, name, style)]


def _chart(
    shown: Shown,
    title: str,
    about: str,
    traces: list[Trace],
    axis: dict[str, Any],
    note: str = "",
) -> Chart:
    last = max((member.source.last_step for member in shown.members), default=1) - shown.since
    x_range = (-0.01 * last - min(shown.since, last), max(last * 1.01, last + 0.2))
    forks = [m.fork - shown.since for m in shown.members if m.fork is not None]
    strip = Strip([marker(fork) for fork in forks], [])
    chart = make_chart(title, about, traces, x_range=x_range, strip=strip, y=axis, note=note)
    if shown.since:
        chart["layout"]["xaxis"]["title"]["text"] = "steps since the fork"
    return chart
