"""The dashboard's step, whether the newest is followed, and the replay: what the timeline shows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.closing import close_all
from workbench.widgets.controls.replay import Replay


class StepSlider:
    """The step that is chosen; the timeline shows it and moves it. `on_change` is called when a
    person or the replay chooses another step; `follow` and `go_to` move the slider without calling
    it."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        # Of each thread: what a person moves meanwhile, in another one, counts.
        self._moving = threading.local()
        self.newest = widgets.Checkbox(value=True, description="newest")
        self.slider = widgets.IntSlider(value=0, min=0, max=0, description="step")
        self.replay = Replay(self.slider)
        self.slider.observe(self._slider_moved, "value")
        self.newest.observe(self._newest_ticked, "value")

    def close(self) -> None:
        """Stand still, and give back what no page shows and so nobody else closes."""
        self.replay.stop()
        close_all([self.slider, self.newest, self.replay.button, self.replay.speed])

    @property
    def chosen(self) -> int | None:
        """The step that a person chose; None while the newest one is followed."""
        return None if self.newest.value else int(self.slider.value)

    def follow(self, last: int) -> None:
        """The run has `last` steps now."""
        if last == self.slider.max:
            return
        with self.by_itself():
            # At no time may min be above max: a growing range gets its max first, a shrinking one
            # its min.
            limits = {"max": last, "min": min(1, last)}
            for name in limits if last >= self.slider.min else reversed(limits):
                setattr(self.slider, name, limits[name])
            if self.newest.value:
                self.slider.value = last

    def go_to(self, step: int | None) -> None:
        """Stand at `step`, and follow the newest no more; None follows it again."""
        with self.by_itself():
            self.newest.value = step is None
            self.slider.value = self.slider.max if step is None else step

    def follow_newest(self) -> None:
        """Go along with the run from now on."""
        with self.by_itself():
            self.newest.value = True
            self.slider.value = self.slider.max

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """While this thread moves the slider without a person, nobody is told."""
        before = self._moves_by_itself
        self._moving.now = True
        try:
            yield
        finally:
            self._moving.now = before

    @property
    def _moves_by_itself(self) -> bool:
        return getattr(self._moving, "now", False)

    def _slider_moved(self, change: dict[str, Any]) -> None:
        if self._moves_by_itself:
            return
        with self.by_itself():
            self.newest.value = False
        self._on_change()

    def _newest_ticked(self, change: dict[str, Any]) -> None:
        if self._moves_by_itself:
            return
        with self.by_itself():
            if self.newest.value:
                self.slider.value = self.slider.max
        self._on_change()
