"""The clipped objective over the importance ratio, for both signs of the advantage."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.widgets.base.lab import Lab, fixed, table
from workbench.widgets.base.numbers import typographic
from workbench.widgets.base.style import NEGATIVE, POSITIVE
from workbench.widgets.by_hand.chart import Curve, HandChart, Handle, Picture
from workbench.widgets.controls.knob_row import FIELDS, KnobRow
from workbench.widgets.controls.number_box import NumberBox
from workbench.widgets.plots import Chart
from workbench.widgets.plots.still import draw_svg

KNOBS = ("epsilon", "epsilon_high", "delta")
SIGNS = {"A = +1": 1.0, "A = −1": -1.0}
BEGIN = {"epsilon_high": 0.28, "delta": 2.0}
"""What an optional field has when it leaves None; a delta that is still inside the picture."""
LOW, HIGH, POINTS = 0.01, 3.0, 600
SPARSE = 12
"""One point in so many is drawn where a curve is straight."""


@dataclass(frozen=True)
class ClipCurve:
    """Of one advantage, at each ratio: the objective (what is maximised), its gradient with respect
    to the log-prob, and whether the token counts as clipped below (-1) or above (1)."""

    objective: np.ndarray
    gradient: np.ndarray
    clipped: np.ndarray


def clip_curve(ratios: Sequence[float] | np.ndarray, advantage: float, **knobs: Any) -> ClipCurve:
    """The clipped surrogate of `loss_type='grpo'` at these ratios. Raises `ConfigError` for knobs
    that cannot be together."""
    import torch

    from workbench.config import ConfigWarning, GRPOConfig
    from workbench.objective import policy_loss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        config = GRPOConfig(loss_type="grpo", beta=0.0, **knobs)
    logp = torch.as_tensor(np.log(np.asarray(ratios, float))).unsqueeze(1).requires_grad_()
    out = policy_loss(
        logp,
        torch.full((len(logp),), advantage, dtype=logp.dtype),
        torch.ones(logp.shape, dtype=torch.bool),
        config,
        old_logp=torch.zeros_like(logp),
    )
    (gradient,) = torch.autograd.grad(-out.loss * len(logp), logp)
    clipped = out.per_token.clipped_high.int() - out.per_token.clipped_low.int()
    return ClipCurve(*(x.squeeze(1).numpy() for x in (-out.per_token.term, gradient, clipped)))


class ClipLab(Lab):
    """Move epsilon, epsilon_high, delta and the ratio of one token; `changes` are their values at
    the start."""

    heading = "The clip"
    lead = (
        "Each token's objective is min( min(r, delta)·A, clip(r, 1 − epsilon, 1 + epsilon_high)·A "
        "), with r = the policy's "
        "probability over the old policy's. Where the curve is flat the token pushes nothing."
    )

    def __init__(self, **changes: Any) -> None:
        start: dict[str, Any] = {name: FIELDS[name].default for name in KNOBS}
        if unknown := [name for name in changes if name not in start]:
            raise ValueError(
                f"{unknown[0]!r} is no knob of ClipLab. Choose from {', '.join(KNOBS)}."
            )
        self.values = start | changes
        self.rows = {
            name: KnobRow(name, BEGIN.get(name) if value is None else value, self._ask, "110px")
            for name, value in self.values.items()
        }
        for name, row in self.rows.items():
            row.show(self.values[name], None)
            row.state.layout.display = (
                "none"  # there is no run here that a value could be in force in
            )
        self.ratio = NumberBox("ratio", LOW, HIGH, 1.0, self.update)
        self.charts: list[Chart] = []
        self.hand = HandChart(self._dragged, label="the objective over the ratio", height=300)
        super().__init__()

    def controls(self) -> Sequence[widgets.Widget]:
        return [*(row.widget for row in self.rows.values()), self.ratio.widget]

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.hand]

    def picture(self) -> str:
        return draw_svg(self.charts, columns=2, height=280) if self.charts else ""

    def _dragged(self, values: dict[str, float]) -> None:
        """A person moved a corner of the clip, or the ratio."""
        here = values.get("ratio", self.ratio.value)
        self.ratio.set_if_changed(here)
        for name, value in knobs_at(values, self.values).items():
            self.values[name] = value
            self.rows[name].show(value, None)
        self.update()

    def _ask(self, name: str, value: Any) -> None:
        self.values[name] = value
        self.update()

    def refresh(self) -> tuple[str, str]:
        here = float(self.ratio.value)
        if not 0 < here < float("inf"):
            raise ValueError(f"ratio={here:g}: a ratio of two probabilities is above 0.")
        self.at_ratio = {name: clip_curve([here], a, **self.values) for name, a in SIGNS.items()}
        grid = np.union1d(
            np.linspace(LOW, max(HIGH, (self.values["delta"] or 0) * 1.25), POINTS), [here]
        )
        curves = {name: clip_curve(grid, a, **self.values) for name, a in SIGNS.items()}
        flat = {name: flat_words(grid, c.gradient) for name, c in curves.items()}
        self.charts = [_chart(name, grid, c, here, flat[name]) for name, c in curves.items()]
        self.hand.show(*clip_picture(grid, curves, here, self.values))
        rows = [
            [name, fixed(c.objective[0], 4, "+"), fixed(c.gradient[0], 4, "+"), _state(c)]
            for name, c in self.at_ratio.items()
        ]
        words = (
            "No gradient " + "; ".join(f"with {name}: {text}" for name, text in flat.items()) + "."
        )
        return words, algebra(here, self.values, self.at_ratio) + table(
            [f"at ratio {here:g}", "objective", "gradient", "state"], rows
        )


def corners(values: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """The clip's corners: name, and the ratio at which they lie."""
    high = values["epsilon"] if values["epsilon_high"] is None else values["epsilon_high"]
    name = "1 + ε" if values["epsilon_high"] is None else "1 + ε_high"
    found = {"low": ("1 − ε", 1 - values["epsilon"]), "high": (name, 1 + high)}
    if values["delta"] is not None:
        found["delta"] = ("δ", values["delta"])
    return found


def knobs_at(places: Mapping[str, float], values: Mapping[str, Any]) -> dict[str, float]:
    """The knobs that were moved, from where their corners are now."""
    found = {}
    for name, (_, before) in corners(values).items():
        place = places.get(name, before)
        if abs(place - before) > 1e-9:
            knob, value = {
                "low": ("epsilon", 1 - place),
                "high": ("epsilon_high", place - 1),
                "delta": ("delta", place),
            }[name]
            found[knob] = float(f"{value:.4g}")
    return found


def clip_picture(
    ratios: np.ndarray,
    curves: Mapping[str, ClipCurve],
    here: float,
    values: Mapping[str, Any],
) -> tuple[Picture, dict[str, float]]:
    """Both objectives, dashed where they have no gradient, with the corners and the ratio as
    handles."""
    drawn = [part for name, curve in curves.items() for part in _parts(name, ratios, curve)]
    low, high = -float(ratios[-1]), float(max(curves["A = +1"].objective.max() * 1.35, 1.6))
    places = corners(values)
    heights = {"low": -places["low"][1], "high": places["high"][1]}
    if "delta" in places:
        heights["delta"] = -places["delta"][1]
    ends = {"low": (0.1, 0.99), "high": (1.01, 2.9), "delta": (1.05, float(ratios[-1]))}
    handles = [
        Handle(
            id=corner,
            name=name,
            low=ends[corner][0],
            high=ends[corner][1],
            shape="corner",
            at=heights[corner],
            kind="positive" if corner == "high" else "negative",
        )
        for corner, (name, _) in places.items()
    ]
    handles.append(Handle(id="ratio", name="ratio r", low=LOW, high=HIGH, kind="neutral"))
    picture = Picture(
        x=(0.0, float(ratios[-1])),
        y=(low, high),
        x_label="ratio r; dashed: no gradient. Drag a corner, or the ratio",
        y_label="objective",
        curves=drawn,
        handles=handles,
        summary=f"At ratio {here:g}.",
    )
    return picture, {corner: at for corner, (_, at) in places.items()} | {"ratio": here}


def _parts(name: str, ratios: np.ndarray, curve: ClipCurve) -> list[Curve]:
    """A curve as two: where it has a gradient, and dashed where it has none."""
    flat = curve.gradient == 0
    # Straight lines between a few points: those beside a corner, and some for the rest.
    turns = np.flatnonzero(np.diff(flat.astype(int)))
    kept = np.unique([*range(0, len(ratios), SPARSE), *turns, *(turns + 1), len(ratios) - 1])
    found = []
    for dashed in (False, True):
        y = np.where(flat[kept] == dashed, curve.objective[kept], np.nan)
        found.append(
            Curve(
                name=name,
                x=[float(f"{x:.4g}") for x in ratios[kept]],
                y=[None if np.isnan(v) else float(f"{v:.4g}") for v in y],
                kind="positive" if SIGNS[name] > 0 else "negative",
                dashed=dashed,
                named=bool(flat[-1]) == dashed,
            )
        )
    return found


def algebra(here: float, values: Mapping[str, Any], at_ratio: Mapping[str, ClipCurve]) -> str:
    """The minimum at this ratio, written out with its numbers, for both signs."""
    places = corners(values)
    low, high = places["low"][1], places["high"][1]
    capped = here if values["delta"] is None else min(here, values["delta"])
    held = min(max(here, low), high)
    lines = [
        f"<div>A = {a:+g}: min( {capped:.3g}·({a:+g}), clip({here:.3g}, {low:.3g}, {high:.3g})·"
        f"({a:+g}) ) = min( {capped * a:+.3g}, {held * a:+.3g} ) = "
        f"<b>{float(at_ratio[name].objective[0]):+.3g}</b></div>"
        for name, a in SIGNS.items()
    ]
    return f"<div class='wb-algebra'>{typographic(''.join(lines))}</div>"


def flat_words(ratios: np.ndarray, gradient: np.ndarray) -> str:
    """Where the gradient is 0, in words, to the grid's two digits."""
    flat = gradient == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    spans = [(a, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    words = [
        f"below {ratios[b]:.2f}"
        if a == 0
        else f"above {ratios[a]:.2f}"
        if b == len(ratios) - 1
        else f"from {ratios[a]:.2f} to {ratios[b]:.2f}"
        for a, b in spans
    ]
    return " and ".join(words) or "nowhere"


def _state(curve: ClipCurve) -> str:
    if curve.clipped[0]:
        return (
            "clipped below: pushes nothing"
            if curve.clipped[0] < 0
            else "clipped above: pushes nothing"
        )
    return "pushes the token" if curve.gradient[0] else "capped by delta: pushes nothing"


def _chart(
    name: str, ratios: np.ndarray, curve: ClipCurve, here: float, flat: str
) -> dict[str, Any]:
    """The objective over the ratio, dotted where it has no gradient, with the reader's ratio."""
    colour = POSITIVE if SIGNS[name] > 0 else NEGATIVE
    x = ratios.astype(np.float32)
    y = curve.objective.astype(np.float32)
    moving = np.where(curve.gradient != 0, y, np.nan).astype(np.float32)
    still = np.where(curve.gradient == 0, y, np.nan).astype(np.float32)
    at = int(np.searchsorted(ratios, here))
    return {
        "data": [
            _line("has a gradient", x, moving, {"color": colour, "width": 3}),
            _line("no gradient", x, still, {"color": colour, "width": 5, "dash": "dot"}),
            _marker("this ratio", x[at : at + 1], y[at : at + 1], colour),
        ],
        "layout": _layout(
            name,
            f"Objective over the ratio for {name}: no gradient {flat}; "
            f"at ratio {here:g} the objective is {y[at]:+.3f}.",
        ),
    }


def _line(name: str, x: np.ndarray, y: np.ndarray, line: dict[str, Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line}


def _marker(name: str, x: np.ndarray, y: np.ndarray, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x.copy(),
        "y": y.copy(),
        "marker": {"color": colour, "size": 12, "symbol": "diamond"},
        "line": {"color": colour, "width": 0},
    }


def _layout(title: str, summary: str) -> dict[str, Any]:
    """summary: for who cannot see the chart."""
    return {
        "title": {"text": title, "x": 0, "xref": "paper", "xanchor": "left"},
        "xaxis": {"title": {"text": "ratio r", "standoff": 6}},
        "yaxis": {"title": {"text": "objective"}},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        "margin": {"l": 60, "r": 12, "t": 36, "b": 44},
        "meta": {"title": title, "summary": summary},
    }
