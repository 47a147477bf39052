"""Playing a run back: the step moves on by itself, at a speed to choose.

Not `ipywidgets.Play`: its buttons are pictures without a name for a screen reader, from a font that
some pages lack, and it moves in the page, so that two displays of it disagree.
"""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets as widgets

SPEEDS = {"1 a second": 1.0, "4 a second": 0.25, "10 a second": 0.1}
"""Seconds between two steps."""


class Replay:
    """Moves `step` from where it stands, or from the start when at the end, while `button` is
    pressed; `speed` is the time between two steps. The timeline shows and moves both."""

    def __init__(self, step: widgets.IntSlider) -> None:
        self._step = step
        self._stop = threading.Event()
        self.button = widgets.ToggleButton(value=False, description="Replay")
        self.speed = widgets.Dropdown(options=SPEEDS, value=SPEEDS["4 a second"])
        self.button.observe(self._toggled, "value")

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
