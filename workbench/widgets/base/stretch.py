"""The stretch of steps that a person chose on the timeline, as a page sees it, and the chip that
names it there and clears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets as widgets

from workbench.widgets.base.guarded import set_if_changed, show_if
from workbench.widgets.base.source import RunSource

Steps = tuple[int, int]


@dataclass(frozen=True)
class Stretch:
    """What a dashboard lends its pages."""

    chosen: Callable[[], Steps | None] = lambda: None
    """The first and the last step; None for all."""

    show_all: Callable[[], None] = lambda: None
    """Choose all again, on every page."""


class StretchChip:
    """`widget` is shown while a stretch is chosen; a press shows all steps again. `draw` brings it
    up to date."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self.button = widgets.Button(layout=widgets.Layout(width="auto"))
        self.button.add_class("wb-chip").add_class("mod-active")
        self.button.on_click(lambda _: stretch.show_all())
        self.widget = widgets.HBox([self.button])
        self.draw()

    def draw(self) -> None:
        """Show the stretch that is chosen, or nothing."""
        chosen = self.chosen
        show_if(self.widget, chosen is not None)
        if chosen is not None:
            words = f"only steps {chosen[0]} to {chosen[1]} ✕"
            set_if_changed(self.button, "description", words)
            set_if_changed(self.button, "tooltip", "Show all steps again, on every page")

    @property
    def chosen(self) -> Steps | None:
        """The first and the last step; None for all."""
        return self._stretch.chosen()

    def steps_of(self, source: RunSource) -> Steps | None:
        """The part of the stretch that this run has; None where all is shown, or where it ended
        before."""
        chosen = self.chosen
        if chosen is None or chosen[0] > source.last_step:
            return None
        return max(chosen[0], 1), min(chosen[1], source.last_step)
