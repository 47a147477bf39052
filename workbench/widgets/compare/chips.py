"""The runs of a comparison as chips: a piece of the run's line, an eye, and the way into focus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from workbench.widgets.base.guarded import set_if_changed
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import menu_text
from workbench.widgets.compare.family import Member
from workbench.widgets.overview.view import line_swatch

EYES = {True: "eye", False: "eye-slash"}


class Chips:
    """`open_ids` are the runs whose eye is open. `changed()` is called when a person opens or
    closes one, `focus(id)` when one is to be in focus."""

    def __init__(self, changed: Callable[[], None], focus: Callable[[str], None]) -> None:
        self._changed = changed
        self._focus = focus
        self._drawn: list[tuple[str, str, int]] = []
        self._filling = False
        self.eyes: dict[str, widgets.ToggleButton] = {}
        self.buttons: dict[str, widgets.Button] = {}
        self._chosen: dict[str, bool] = {}
        self.widget = widgets.HBox().add_class("wb-compare-chips")

    @property
    def open_ids(self) -> set[str]:
        """The runs that are shown."""
        return {run_id for run_id, eye in self.eyes.items() if eye.value}

    def show(self, members: Sequence[Member], focus: Member, opened: set[str]) -> None:
        """A chip for each run; `opened` are those whose eye is open until a person says
        otherwise."""
        drawn = [(member.id, member.source.label, member.place) for member in members]
        if drawn != self._drawn:
            self._make(members)
            self._drawn = drawn
        self._filling = True
        try:
            for member in members:
                in_focus = member is focus
                eye = self.eyes[member.id]
                set_if_changed(eye, "value", self._chosen.get(member.id, member.id in opened))
                set_if_changed(eye, "disabled", in_focus)
                if in_focus:
                    set_if_changed(eye, "value", True)
                set_if_changed(eye, "icon", EYES[eye.value])
                button = self.buttons[member.id]
                set_if_changed(button, "description", "in focus" if in_focus else "focus")
                set_if_changed(button, "disabled", in_focus)
        finally:
            self._filling = False

    def _make(self, members: Sequence[Member]) -> None:
        self.eyes = {}
        self.buttons = {}
        chips = []
        for member in members:
            name = menu_text(member.source.label, 32)
            eye = widgets.ToggleButton(
                description=name, tooltip=f"{name}: show its curves or hide them", icon="eye"
            )
            button = widgets.Button(tooltip=f"{name}: put it in focus, with its controls")
            eye.observe(lambda change, run_id=member.id: self._toggled(run_id, change), "value")
            button.on_click(lambda _, run_id=member.id: self._focus(run_id))
            self.eyes[member.id] = eye
            self.buttons[member.id] = button
            swatch = widgets.HTML(framed(line_swatch(member.place)))
            chips.append(widgets.HBox([swatch, eye, button]).add_class("wb-compare-chip"))
        self.widget.children = chips

    def _toggled(self, run_id: str, change: dict[str, bool]) -> None:
        if self._filling:
            return
        self._chosen[run_id] = change["new"]
        self.eyes[run_id].icon = EYES[change["new"]]
        self._changed()
