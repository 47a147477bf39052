"""The clipped objective over the importance ratio, for both signs of the advantage."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.widgets.base.lab import Lab, fixed, table
from workbench.widgets.base.style import NEGATIVE, POSITIVE
from workbench.widgets.controls.knob_row import FIELDS, KnobRow
from workbench.widgets.controls.number_box import NumberBox
from workbench.widgets.plots.liveplot import LivePlot

KNOBS = ("epsilon", "epsilon_high", "delta")
SIGNS = {"A = +1": 1.0, "A = −1": -1.0}
BEGIN = {"epsilon_high": 0.28, "delta": 2.0}
"""What an optional field has when it leaves None; a delta that is still inside the picture."""
LOW, HIGH, POINTS = 0.01, 3.0, 600


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
            name: KnobRow(name, BEGIN.get(name) if value is None else value, self._ask)
            for name, value in self.values.items()
        }
        for name, row in self.rows.items():
            row.show(self.values[name], None)
            row.state.layout.display = (
                "none"  # there is no run here that a value could be in force in
            )
        self.ratio = NumberBox("ratio", LOW, HIGH, 1.0, self.update)
        self.plot = LivePlot(columns=2, height=280)
        super().__init__()

    def controls(self) -> Sequence[widgets.Widget]:
        return [*(row.widget for row in self.rows.values()), self.ratio.widget]

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.plot]

    def picture(self) -> str:
        return self.plot.picture()

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
        self.plot.show([_chart(name, grid, c, here, flat[name]) for name, c in curves.items()])
        rows = [
            [name, fixed(c.objective[0], 4, "+"), fixed(c.gradient[0], 4, "+"), _state(c)]
            for name, c in self.at_ratio.items()
        ]
        words = (
            "No gradient " + "; ".join(f"with {name}: {text}" for name, text in flat.items()) + "."
        )
        return words, table([f"at ratio {here:g}", "objective", "gradient", "state"], rows)


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
