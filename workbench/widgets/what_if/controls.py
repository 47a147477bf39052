"""The controls of the what-if: a row for each field that it can ask about, and the way back to what
happened."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from workbench.widgets.controls.knob_row import FIELDS, KnobRow

ASKED = (
    "beta",
    "epsilon",
    "epsilon_high",
    "delta",
    "divergence_threshold",
    "clip_cov_ratio",
    "clip_cov_min",
    "clip_cov_max",
    "kl_cov_ratio",
    "kl_cov_coef",
    "loss_type",
    "loss_reduction",
    "importance_sampling_level",
    "advantage_estimator",
    "advantage_k",
    "scale_rewards",
    "advantage_baseline",
    "advantage_std",
    "kl_estimator",
)

BEGIN = {"epsilon_high": 0.28, "delta": 4.0}
"""What an optional field has when it leaves None: DAPO's value, and INTELLECT-2's."""


class WhatIfControls:
    """`changes`: field -> value, of those that differ from what was in force. `on_change` is called
    when a person changes one."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change, self._lock = on_change, threading.RLock()
        self._in_force: dict[str, Any] = {name: FIELDS[name].default for name in ASKED}
        self._changes: dict[str, Any] = {}
        self.rows = {
            name: KnobRow(name, BEGIN.get(name, self._in_force[name]), self._ask) for name in ASKED
        }
        self.reset_button = widgets.Button(
            description="Reset to what happened", layout={"width": "220px"}, disabled=True
        )
        self.reset_button.on_click(lambda _: self.reset())
        self._mark()
        self.widget = widgets.VBox(
            [
                *(row.widget for row in self.rows.values()),
                self.reset_button,
                widgets.HTML(_meanings()),
            ]
        )

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that differ from those in force."""
        return dict(self._changes)

    def follow(self, in_force: Mapping[str, Any]) -> None:
        """Take over the settings of a step: what was not changed shows them, what was changed stays
        as it is."""
        with self._lock:
            self._in_force = {name: in_force[name] for name in ASKED}
            self._changes = {n: v for n, v in self._changes.items() if v != self._in_force[n]}
            self._mark()

    def reset(self) -> None:
        """Back to what was in force."""
        with self._lock:
            self._changes.clear()
            self._mark()
        self._on_change()

    def _ask(self, name: str, value: Any) -> None:
        with self._lock:
            self._changes.pop(name, None)
            if value != self._in_force[name]:
                self._changes[name] = value
            self._mark()
        self._on_change()

    def _mark(self) -> None:
        """Say beside each row what was in force; rows without a change show it."""
        for name, row in self.rows.items():
            if name in self._changes:
                row.state.value = (
                    '<span style="font-size:13px"><b>changed</b>, was '
                    f"{_text(self._in_force[name])}</span>"
                )
            else:
                row.show(self._in_force[name], None)
        self.reset_button.disabled = not self._changes


def _text(value: Any) -> str:
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value).lower())


def _meanings() -> str:
    rows = [
        f"<dt><b>{name}</b></dt><dd>{html.escape(FIELDS[name].metadata['meaning'])}</dd>"
        for name in ASKED
    ]
    return (
        "<details style='font-size:13px'><summary>What the fields mean</summary><dl>"
        f"{''.join(rows)}</dl></details>"
    )
