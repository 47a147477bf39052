"""Which step a view shows: that of the dashboard, or one of its own choice."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from workbench.widgets.base.guarded import Guarded, set_if_changed


class StepChooser:
    """A number box with buttons to either side, and a check box to go along with the dashboard.

    `step` is the step to show, None before the first. Choosing one by hand ends the going along
    until it is ticked again.
    """

    def __init__(self, view: Guarded, changed: Callable[[], None]) -> None:
        self._view = view
        self._changed = changed
        self._offered: int | None = None
        self.box = widgets.BoundedIntText(
            value=0,
            min=0,
            max=0,
            description="step",
            layout=widgets.Layout(width="150px"),
            style={"description_width": "40px"},
            disabled=True,
        )
        self.older = _button("‹ older", "The step before")
        self.newer = _button("newer ›", "The step after")
        self.follow = widgets.Checkbox(
            value=True,
            description="follow the dashboard",
            indent=False,
            layout=widgets.Layout(width="190px"),
        )
        self.widget = widgets.HBox(
            [self.older, self.box, self.newer, self.follow],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        view.answer(self.box, self._chosen)
        view.answer(self.follow, self._followed)
        self.older.on_click(lambda _: view.guarded(self._move, -1))
        self.newer.on_click(lambda _: view.guarded(self._move, 1))

    @property
    def step(self) -> int | None:
        """The step to show; None while there is none."""
        return self.box.value or None

    def offer(self, step: int | None, last: int) -> None:
        """The dashboard is at `step` of a run that has `last` steps."""
        self._offered = step
        with self._view.filling():
            chosen = step or 0 if self.follow.value else self.box.value or step or 0
            chosen = min(chosen, last)
            limits = {"max": last, "min": min(last, 1)}
            for name in (
                limits if last >= self.box.min else reversed(limits)
            ):  # at no time may min be above max
                set_if_changed(self.box, name, limits[name])
            set_if_changed(self.box, "value", chosen)
            self._enable(last)

    def go_to(self, step: int) -> None:
        """Show this step and stay there; the dashboard may not have told yet that there is such a
        step."""
        with self._view.filling():
            set_if_changed(self.box, "max", max(self.box.max, step))
            set_if_changed(self.box, "value", step)
            set_if_changed(self.follow, "value", False)
            self._enable(self.box.max)

    def _move(self, by: int) -> None:
        self.go_to(min(max(self.box.value + by, self.box.min), self.box.max))
        self._changed()

    def _chosen(self) -> None:
        self.go_to(self.box.value)
        self._changed()

    def _followed(self) -> None:
        self.offer(self._offered, self.box.max)
        self._changed()

    def _enable(self, last: int) -> None:
        set_if_changed(self.box, "disabled", last == 0)
        set_if_changed(self.older, "disabled", self.box.value <= 1)
        set_if_changed(self.newer, "disabled", self.box.value >= last)


def _button(text: str, tip: str) -> widgets.Button:
    """Disabled until there is a step to go to."""
    return widgets.Button(
        description=text,
        tooltip=tip,
        layout=widgets.Layout(width="76px"),
        disabled=True,
    )
