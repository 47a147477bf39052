"""The charts of the page: the evaluations over the steps, and pass@k and maj@k over k, before and
after. Pure: page, HTML export and tests share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.widgets.base.source import RunSource
from workbench.widgets.evaluation.figures import (
    Figures,
    curve,
    figures_at,
    main_figures,
    steps_of,
)
from workbench.widgets.plots import Chart
from workbench.widgets.plots.pieces import Look, Trace, look, make_chart, marker, plot_text, points

SHARE: dict[str, Any] = {"tickformat": ".3~%", "rangemode": "tozero"}
NOTHING = "no evaluation yet"
NO_SAMPLES = "no samples were drawn: eval_samples=8 draws eight of each problem"


def over_steps(
    source: RunSource, frame: pd.DataFrame, split: str, judge: str, step: int | None
) -> Chart:
    """Every evaluation: the accuracy that training goes by, and the figures with samples."""
    traces = _accuracy(source, split) + _sampled(frame, split, judge)
    last = max([source.last_step, *(int(max(t["x"])) for t in traces)], default=0)
    x_range = (-0.01 * last - 0.2, max(last * 1.01, last + 0.2))
    chart = make_chart(
        "evaluations",
        f"{judge}, share of problems right",
        traces,
        x_range=x_range,
        y=SHARE,
        note="" if traces else NOTHING,
    )
    if step is not None:
        chart["layout"]["shapes"] = [marker(step, dash="solid", width=1)]
    return chart


def _accuracy(source: RunSource, split: str) -> list[Trace]:
    """The strict greedy accuracy of every `eval_steps`."""
    table = source.evaluations
    rows = table[table["split"] == split]
    if not len(rows):
        return []
    columns = ("step", "accuracy", "low", "high")
    x, y, low, high = (rows[column].to_numpy(dtype=float) for column in columns)
    name = "greedy, in training"
    return [points(x, y, low, high, name, look(4), hovertemplate="%{y:.1%}")]


def _sampled(frame: pd.DataFrame, split: str, judge: str) -> list[Trace]:
    steps = steps_of(frame, split)
    by_step = [figures_at(frame, split, step, judge) for step in steps]
    names = dict.fromkeys(name for figures in by_step for name in main_figures(figures))
    return [
        _trace(steps, [figures.get(name) for figures in by_step], name, look(i))
        for i, name in enumerate(names)
    ]


def _trace(x: Sequence[int], shares: Sequence[Any], name: str, style: Look) -> Trace:
    known = [(place, share) for place, share in zip(x, shares, strict=True) if share is not None]
    return points(
        np.array([place for place, _ in known], float),
        np.array([share.value for _, share in known]),
        np.array([share.low for _, share in known]),
        np.array([share.high for _, share in known]),
        plot_text(name),
        style,
        hovertemplate="%{y:.1%}",
    )


def over_k(name: str, about: str, before: Figures, after: Figures, steps: tuple[int, int]) -> Chart:
    """pass@k or maj@k over k, of the two evaluations."""
    traces = []
    curves = {"before": curve(before, name)}
    if steps[0] != steps[1]:
        curves["after"] = curve(after, name)
    for i, (when, found) in enumerate(curves.items()):
        if found:
            label = f"{when} (step {steps[i]})"
            traces.append(_trace([k for k, _ in found], [s for _, s in found], label, look(i)))
    ks = sorted({k for found in curves.values() for k, _ in found}) or [1]
    chart = make_chart(
        f"{name}@k",
        about,
        traces,
        x_range=(math.log10(ks[0]) - 0.05, math.log10(ks[-1]) + 0.05),
        y=SHARE,
        note="" if traces else NO_SAMPLES,
    )
    chart["layout"]["xaxis"] |= {
        "type": "log",
        "tickvals": ks,
        "ticktext": [str(k) for k in ks],
        "title": {"text": "k (samples)", "standoff": 2, "font": {"size": 12}},
    }
    chart["layout"]["meta"]["summary"] = _in_words(name, curves, steps)
    return chart


def _in_words(name: str, curves: dict[str, Any], steps: tuple[int, int]) -> str:
    said = [
        f"{when} (step {step}) " + ", ".join(f"{name}@{k} {share.value:.1%}" for k, share in found)
        for (when, found), step in zip(curves.items(), steps, strict=False)
        if found
    ]
    return f"{name}@k: " + ("; ".join(said) or NO_SAMPLES) + "."


def charts(
    source: RunSource,
    frame: pd.DataFrame,
    split: str,
    judge: str,
    steps: tuple[int, int] | None,
    step: int | None = None,
) -> list[Chart]:
    """All charts of the page; `steps` are those of the evaluations before and after, None where
    none was made with samples."""
    all_of_them = over_steps(source, frame, split, judge, step)
    if steps is None:
        return [all_of_them]
    before, after = (figures_at(frame, split, one, judge) for one in steps)
    passed = "one of k samples right"
    voted = "the answer that most of k samples give is right"
    return [
        over_k("pass", passed, before, after, steps),
        over_k("maj", voted, before, after, steps),
        all_of_them,
    ]
