"""A finding's curve as a small picture: the whole course up to the step shown, with the steps that
the evidence speaks of shaded."""

from __future__ import annotations

import numpy as np

from workbench.doctor.finding import ACCURACY, Curve, figure, span
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import safe_text
from workbench.widgets.plots.decimate import decimate

WIDTH, HEIGHT, EDGE = 200.0, 44.0, 3.0
POINTS = 80
NARROWEST = 3.0
"""Pixels of the window of a single step."""


def spark_html(source: RunSource, curve: Curve | None, shown: int) -> str:
    """The picture with its caption; '' for a curve without two values up to step `shown`."""
    if curve is None:
        return ""
    steps, values = course_of(source, curve.metric, shown)
    finite = np.isfinite(values)
    if finite.sum() < 2:
        return ""
    low, high = float(values[finite].min()), float(values[finite].max())
    name = "held-out accuracy" if curve.metric == ACCURACY else curve.metric
    window = span(sorted({curve.first, curve.last}))
    caption = (
        f"{safe_text(name, 48)} {_figure(name, low)} to {_figure(name, high)}<br>shaded: {window}"
    )
    label = safe_text(f"{name} up to step {shown}, shaded: {window}", 120)
    drawn = _window(curve, steps) + _line(steps, values, low, high, dots=curve.metric == ACCURACY)
    return (
        f"<figure class='wb-spark'><svg role='img' aria-label='{label}' "
        f"viewBox='0 0 {WIDTH:.0f} {HEIGHT:.0f}' preserveAspectRatio='none'>{drawn}</svg>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def course_of(source: RunSource, metric: str, shown: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values up to `shown`; empty where the run has no such curve."""
    table = source.metrics
    column = metric
    if metric == ACCURACY:
        every = source.evaluations
        table = every[every["split"] == every["split"].iloc[0]] if len(every) else every
        column = "accuracy"
    if column not in table:
        return np.zeros(0), np.zeros(0)
    rows = table[table["step"] <= shown]
    steps: np.ndarray = rows["step"].to_numpy(dtype=float)
    return decimate(steps, rows[column].to_numpy(dtype=float), POINTS)


def _figure(name: str, value: float) -> str:
    return f"{value:.1%}" if name == "held-out accuracy" else figure(value)


def _x(step: float, steps: np.ndarray) -> float:
    share = (step - steps[0]) / max(steps[-1] - steps[0], 1.0)
    return EDGE + float(np.clip(share, 0, 1)) * (WIDTH - 2 * EDGE)


def _window(curve: Curve, steps: np.ndarray) -> str:
    left = _x(curve.first, steps)
    right = _x(curve.last, steps)
    missing = max(NARROWEST - (right - left), 0.0)
    left = max(left - missing / 2, 0.0)
    right += missing / 2
    edges = "".join(
        f"<line class='wb-spark-edge' x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{HEIGHT:.0f}'/>"
        for x in (left, right)
    )
    return (
        f"<rect class='wb-spark-window' x='{left:.1f}' y='0' width='{right - left:.1f}' "
        f"height='{HEIGHT:.0f}'/>{edges}"
    )


def _line(steps: np.ndarray, values: np.ndarray, low: float, high: float, *, dots: bool) -> str:
    """The course; a gap where a value is missing."""
    room = HEIGHT - 2 * EDGE
    range_ = high - low
    parts: list[list[str]] = [[]]
    marks = ""
    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
        if not np.isfinite(value):
            parts.append([])
            continue
        # A level line stands in the middle.
        share = (value - low) / range_ if range_ > 0 else 0.5
        x, y = _x(step, steps), EDGE + (1 - share) * room
        parts[-1].append(f"{x:.1f},{y:.1f}")
        if dots:
            marks += f"<circle class='wb-spark-dot' cx='{x:.1f}' cy='{y:.1f}' r='2'/>"
    lines = "".join(
        f"<polyline class='wb-spark-line' points='{' '.join(part)}'/>" for part in parts if part
    )
    return lines + marks
