"""The controls of the what-if: a row for each field that it can ask about, and the way back to what
happened."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.guarded import show_if
from workbench.widgets.base.style import framed
from workbench.widgets.controls.knob_row import FIELDS, KnobRow

QUESTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "clip": (
        "clip ε",
        ("epsilon", "epsilon_high", "delta", "importance_sampling_level"),
    ),
    "kl": ("KL β", ("beta", "kl_estimator")),
    "advantage": (
        "advantage",
        (
            "scale_rewards",
            "advantage_baseline",
            "advantage_std",
            "advantage_estimator",
            "advantage_k",
        ),
    ),
    "loss": (
        "loss",
        (
            "loss_type",
            "loss_reduction",
            "divergence_threshold",
            "clip_cov_ratio",
            "clip_cov_min",
            "clip_cov_max",
            "kl_cov_ratio",
            "kl_cov_coef",
        ),
    ),
}
"""What can be asked: its name on the button, and the fields that it is about. The chart follows
it."""
ASKED = tuple(name for _, names in QUESTIONS.values() for name in names)

BEGIN = {"epsilon_high": 0.28, "delta": 4.0}
"""What an optional field has when it leaves None: DAPO's value, and INTELLECT-2's."""


class WhatIfControls:
    """`changes`: field -> value, of those that differ from what was in force. `on_change` is called
    when a person changes one, or asks another question.

    One question is open at a time, with the fields that it is about; what was changed under another
    one stays changed.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change, self._lock = on_change, threading.RLock()
        self._in_force: dict[str, Any] = {name: FIELDS[name].default for name in ASKED}
        self._changes: dict[str, Any] = {}
        self.rows = {
            name: KnobRow(name, BEGIN.get(name, self._in_force[name]), self._ask) for name in ASKED
        }
        self.question = widgets.ToggleButtons(
            options=[(name, key) for key, (name, _) in QUESTIONS.items()],
            value="clip",
            description="ask about",
            style={"button_width": "auto", "description_width": "0px"},
        ).add_class("wb-what-if-question")
        self.question.observe(lambda _: self._turn(), "value")
        self._parts = {key: self._part(key) for key in QUESTIONS}
        self.fields = widgets.VBox(list(self._parts.values()))
        self.reset_button = widgets.Button(
            description="Reset to what happened", layout={"width": "auto"}, disabled=True
        )
        self.reset_button.on_click(lambda _: self.reset())
        self._show_fields()
        self._mark()
        self.widget = widgets.VBox([self.question, self.fields, self.reset_button])

    def _part(self, question: str) -> widgets.Widget:
        """The rows of a question, narrow: the name above its inputs."""
        names = QUESTIONS[question][1]
        rows = [_narrow(self.rows[name]) for name in names]
        return widgets.VBox([*rows, widgets.HTML(_meanings(names))])

    def _turn(self) -> None:
        """A person asks about something else."""
        self._show_fields()
        self._on_change()

    def _show_fields(self) -> None:
        for question, part in self._parts.items():
            show_if(part, question == self.question.value)

    def ask(self, changes: Mapping[str, Any]) -> None:
        """Change fields as a person does at their rows, who then see it there."""
        with self._lock:
            for name, value in changes.items():
                self.rows[name].show(value, None)
                self._keep(name, value)
            self._mark()
        self._on_change()

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
            self._keep(name, value)
            self._mark()
        self._on_change()

    def _keep(self, name: str, value: Any) -> None:
        self._changes.pop(name, None)
        if value != self._in_force[name]:
            self._changes[name] = value

    def _mark(self) -> None:
        """Say beside each row what was in force; rows without a change show it."""
        for name, row in self.rows.items():
            if name in self._changes:
                was = _text(self._in_force[name])
                row.state.value = framed(f"<span class='wb-dim'><b>was {was}</b></span>")
            else:
                row.show(self._in_force[name], None)
                row.state.value = ""
        self.reset_button.disabled = not self._changes


def _text(value: Any) -> str:
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value).lower())


def _narrow(row: KnobRow) -> widgets.Widget:
    """A row in two lines: name and what was in force, then the inputs."""
    row.label.layout.flex = "1 1 auto"
    row.state.layout.flex = "0 0 auto"
    for control in row.inputs:
        # No narrower than can be dragged; the number box keeps room for four digits.
        control.layout.min_width = "60px"
    head = widgets.HBox([row.label, row.state], layout={"justify_content": "space-between"})
    inputs = widgets.HBox(row.inputs, layout={"align_items": "center"})
    row.widget.children = [head, inputs, row.back]
    # Its own layout, changed: one that is replaced is closed by nobody.
    row.widget.layout.flex_flow = "column"
    row.widget.layout.align_items = "stretch"
    return row.widget.remove_class("wb-knob").add_class("wb-what-if-row")


def _meanings(names: Iterable[str]) -> str:
    rows = [
        f"<dt><b>{name}</b></dt><dd>{html.escape(FIELDS[name].metadata['meaning'])}</dd>"
        for name in names
    ]
    return framed(
        f"<details><summary>What the fields mean</summary><dl>{''.join(rows)}</dl></details>"
    )
