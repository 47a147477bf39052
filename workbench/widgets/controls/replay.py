"""Playing a run back: a button that moves the step slider on by itself, at a speed to choose.

Not `ipywidgets.Play`: its buttons are pictures without a name for a screen reader, from a font that
some pages lack.
"""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets as widgets

SPEEDS = {"1 a second": 1.0, "4 a second": 0.25, "10 a second": 0.1}
"""Seconds between two steps."""


class Replay:
    """The button and the menu of speeds (`widget`). Moves `step` from where it stands, or from the
    start when at the end."""

    def __init__(self, step: widgets.IntSlider) -> None:
        self._step = step
        self._stop = threading.Event()
        self.button = widgets.ToggleButton(
            value=False,
            description="Replay",
            tooltip="Play the steps one after the other",
            layout=widgets.Layout(width="auto", flex="0 0 auto"),
        ).add_class("wb-quiet")
        self.speed = widgets.Dropdown(
            options=SPEEDS,
            value=SPEEDS["4 a second"],
            description="at",
            layout=widgets.Layout(width="124px", flex="0 0 auto"),
            style={"description_width": "20px"},
        )
        self.button.observe(self._toggled, "value")
        self.widget = widgets.HBox([self.button, self.speed])

    def _toggled(self, change: dict[str, Any]) -> None:
        self._stop.set()
        if change["new"]:
            self._stop = threading.Event()
            threading.Thread(
                target=self._run, args=(self._stop,), name="workbench replay", daemon=True
            ).start()

    def _run(self, stop: threading.Event) -> None:
        if self._step.value >= self._step.max:
            self._step.value = self._step.min
        while self._step.value < self._step.max and not stop.wait(self.speed.value):
            self._step.value += 1
        if not stop.is_set():
            self.button.value = False

    def stop(self) -> None:
        """Stand still."""
        self._stop.set()
