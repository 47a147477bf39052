"""A number that can be dragged and typed: a slider and a labelled box, kept together.

The box holds the exact value and carries the label; the slider stops at its ends, the box goes on.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.slider import Slider


class NumberBox:
    """`value` is the number. `on_change` is called without arguments whenever a person changes
    it."""

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        value: float,
        on_change: Callable[[], None],
        *,
        step: float = 0.01,
        whole: bool = False,
        label_width: str = "110px",
    ) -> None:
        self._on_change, self._lock, self._following = on_change, threading.RLock(), False
        self.box = (widgets.IntText if whole else widgets.FloatText)(
            value=value,
            description=name,
            style={"description_width": label_width},
            layout={"width": f"calc({label_width} + 90px)"},
        )
        self._whole = whole
        self.slider = Slider(
            value=low,
            min=low,
            max=high,
            step=1 if whole else step,
            description=name,
            layout={"width": "200px", "min_width": "100px"},
        )
        self._place(value)
        self.widget = widgets.HBox([self.box, self.slider], layout={"align_items": "center"})
        self.box.observe(lambda change: self._changed(lambda: self._place(change["new"])), "value")
        self.slider.observe(
            lambda change: self._changed(lambda: self._type(change["new"])), "value"
        )

    @property
    def value(self) -> Any:
        """An int where `whole`, else a float."""
        return self.box.value

    def set_if_changed(self, value: float) -> None:
        """Set it without calling `on_change`."""
        with self._lock:
            self._following = True
            try:
                self.box.value = value
                self._place(value)
            finally:
                self._following = False

    def _changed(self, follow: Callable[[], None]) -> None:
        """One of the two was moved: the other one follows."""
        with self._lock:
            if self._following:
                return
            self._following = True
            try:
                follow()
            finally:
                self._following = False
        self._on_change()

    def _place(self, value: float) -> None:
        if math.isfinite(value):
            self.slider.value = min(max(value, self.slider.min), self.slider.max)

    def _type(self, value: float) -> None:
        self.box.value = round(value) if self._whole else float(f"{value:.6g}")
