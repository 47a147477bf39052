"""The charts of the what-if, one for each kind of question: ratios with the clip's lines, what
share of each token's push the KL has, the advantages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.config import GRPOConfig
from workbench.config.losses import LOSSES
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import BLUE, ORANGE
from workbench.widgets.by_hand.chart import Bars, Handle, Picture
from workbench.widgets.plots.pieces import SMALL
from workbench.widgets.what_if import words

if TYPE_CHECKING:
    from workbench.widgets.what_if.comparison import Comparison, Outcome

BINS = 48
OUTER = 0.002
"""Share of the tokens at either end that may lie beyond the picture: they stand in its last
column."""
LEAST_SPAN = 0.02
"""Of the axis, in ratios: where every ratio is 1 there is still room for the lines."""


def ratio_picture(c: Comparison) -> tuple[Picture, dict[str, float]]:
    """How many tokens have which ratio, those that the what-if clips, and the clip's lines with
    where they stand."""
    config = c.what_if.config
    ratio_BT = c.what_if.ratio_BT
    counted_BT = c.kept.counted_BT.numpy()
    ratios = ratio_BT[counted_BT]
    clipped = ratio_BT[counted_BT & (c.what_if.clipped_BT != 0)]
    lines = clip_lines(config)
    low, high = _range(ratios, lines)
    edges = np.linspace(low, high, BINS + 1)
    heights = [_heights(values, edges) for values in (ratios, clipped)]
    top = max(float(heights[0].max()), 1.0)
    step = float(f"{(high - low) / 200:.1g}")
    handles = [
        Handle(id=name, name=label, low=least, high=most, step=step)
        for name, (label, _, least, most) in lines.items()
    ]
    bars = [
        Bars(name=name, x0=edges[:-1].tolist(), x1=edges[1:].tolist(), y=y.tolist(), kind=kind)
        for name, y, kind in zip(
            ("all tokens", "clipped"), heights, ("neutral", "negative"), strict=True
        )
    ]
    powers = range(int(top) + 1)
    picture = Picture(
        x=(low, high),
        y=(0.0, top * 1.12),
        x_label="ratio r = π / π_old of each token",
        y_label="tokens",
        # Logarithmic: the few tokens that are clipped would not be seen beside the many at 1.
        y_ticks=[(math.log10(1 + 10**p), f"{10**p:,}") for p in powers],
        bars=bars,
        handles=handles,
        summary=words.ratios_summary(len(ratios), len(clipped), config, lines),
    )
    return picture, {name: value for name, (_, value, _, _) in lines.items()}


Line = tuple[str, float, float, float]
"""Label, ratio, least and largest ratio."""


def clip_lines(config: GRPOConfig) -> dict[str, Line]:
    """The clip's lines, by name; none where the loss bounds no ratio."""
    loss = LOSSES[config.loss_type]
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    found: dict[str, Line] = {}
    if loss.bound == "clip":
        found["low"] = ("1 − ε", 1 - config.epsilon, 0.0, 0.9999)
        # Without an epsilon_high the upper line goes along with the lower one.
        name = "1 + ε" if config.epsilon_high is None else "1 + ε_high"
        found["high"] = (name, 1 + high, 1.0001, 10.0)
        if config.delta is not None:
            found["delta"] = ("δ", config.delta, 1.0001, 20.0)
    if loss.bound == "log_clip":
        found["low"] = ("exp(−ε)", math.exp(-config.epsilon), 0.05, 0.9999)
        found["high"] = ("exp(ε_high)", math.exp(high), 1.0001, 20.0)
    if loss.caps:
        found["high"] = ("ε_high", high, 0.0001, 20.0)
    return found


def asked_by(values: dict[str, float], config: GRPOConfig) -> dict[str, float]:
    """The fields that lines at these ratios mean: those of the lines that were moved."""
    loss = LOSSES[config.loss_type]
    before = clip_lines(config)
    moved = {
        name: value
        for name, value in values.items()
        if name in before and not math.isclose(value, before[name][1], rel_tol=1e-9)
    }
    found = {}
    for name, value in moved.items():
        if name == "low":
            found["epsilon"] = -math.log(value) if loss.bound == "log_clip" else 1 - value
        elif name == "delta":
            found["delta"] = value
        elif loss.caps:
            found["epsilon_high"] = value
        else:
            found["epsilon_high"] = math.log(value) if loss.bound == "log_clip" else value - 1
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def _range(ratios: np.ndarray, lines: dict[str, Line]) -> tuple[float, float]:
    """From the smallest to the largest ratio, less some outliers, with room for the lines."""
    finite = ratios[np.isfinite(ratios)]
    ends = np.quantile(finite, [OUTER, 1 - OUTER]).tolist() if len(finite) else [1.0]
    at = [*ends, *(value for _, value, _, _ in lines.values() if value < 5), 1.0]
    low, high = min(at), max(at)
    room = max(high - low, LEAST_SPAN) * 0.08
    return max(low - room, 0.0), high + room


def _heights(ratios: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """log10(1 + tokens) of each column; what lies beyond the picture stands in its last one."""
    inside = np.clip(np.nan_to_num(ratios, nan=1.0), edges[0], edges[-1])
    counts, _ = np.histogram(inside, edges)
    return np.log10(1.0 + counts)


def kl_chart(c: Comparison, row: int) -> dict[str, Any]:
    """What share of each token's push in completion `row` is the KL's, before and after."""
    length = int(c.kept.written_BT[row].sum())
    position = np.arange(length, dtype=np.float32)
    series = {"happened": c.happened, "what if": c.what_if}
    shares = {name: kl_share(o, row)[:length] for name, o in series.items()}
    data = [
        {
            "type": "bar",
            "name": name,
            "x": position,
            "y": share.astype(np.float32),
            "marker": {"color": colour, "pattern": {"shape": pattern}},
            "hovertemplate": "token %{x}: %{y:.1%}",
        }
        for (name, share), colour, pattern in zip(
            shares.items(), (BLUE, ORANGE), ("", "/"), strict=True
        )
    ]
    means = [number_text(100 * float(np.nan_to_num(s).mean()), ".3g") for s in shares.values()]
    summary = (
        f"KL's share of the push of each token of completion {row}: {means[0]} % on average when "
        f"it happened, {means[1]} % in the what-if."
    )
    layout = _layout("token of the completion", "KL's share of the push", "KL share", summary)
    layout["yaxis"] |= {"tickformat": ".0%", "range": [0, 1.02]}
    layout["barmode"] = "group"
    return {"data": data, "layout": layout}


def kl_share(outcome: Outcome, row: int) -> np.ndarray:
    """|KL's part| / (|KL's part| + |the policy term's|) of each token's gradient; 0 without
    either."""
    whole = outcome.gradient_BT[row].astype(float)
    pulled = outcome.kl_gradient_BT[row].astype(float)
    pushed = whole - pulled
    total = np.abs(pulled) + np.abs(pushed)
    share: np.ndarray = np.divide(np.abs(pulled), total, out=np.zeros_like(total), where=total > 0)
    return share


def advantages_chart(c: Comparison) -> dict[str, Any]:
    """The advantage of each completion, as it was and as it would have been, group by group."""
    x = ((np.arange(len(c.happened.advantages_B)) + 0.5) / c.kept.config.num_generations).astype(
        np.float32
    )
    marks = {
        "happened": {"color": BLUE, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
        "what if": {"color": ORANGE, "size": 7, "symbol": "x"},
    }
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": x,
            "y": o.advantages_B.astype(np.float32),
            "marker": marks[name],
            "line": {"color": marks[name]["color"], "width": 0},
        }
        for name, o in (("happened", c.happened), ("what if", c.what_if))
    ]
    layout = _layout(
        "group; each mark is one completion",
        "advantage",
        "advantage per completion",
        words.advantages_summary(c),
    )
    return {"data": data, "layout": layout}


def _layout(x: str, y: str, title: str, summary: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": x, "font": {"size": SMALL}, "standoff": 6}},
        "yaxis": {"title": {"text": y, "font": {"size": SMALL}, "standoff": 6}},
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.2},
        "margin": {"l": 60, "r": 12, "t": 30, "b": 48},
        "meta": {"title": title, "summary": summary},
    }
