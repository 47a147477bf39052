"""Which step a page shows: the one that is chosen on the dashboard, chosen anew from here."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from workbench.widgets.base.guarded import Guarded, set_if_changed
from workbench.widgets.base.selection import Selection


class StepChooser:
    """A number box with a button to either side, which lead to the next step that has something
    to show. `step` is the step shown, None before the first.

    What a person chooses goes into `selection`, and so to all pages; `changed` is called after
    that.
    """

    def __init__(
        self, view: Guarded, changed: Callable[[], None], selection: Selection | None = None
    ) -> None:
        self.selection = Selection() if selection is None else selection
        self._view = view
        self._changed = changed
        self._kept: Sequence[int] = ()
        self.box = widgets.BoundedIntText(
            value=0,
            min=0,
            max=0,
            description="step",
            layout=widgets.Layout(width="120px"),
            style={"description_width": "36px"},
            disabled=True,
        )
        self.older = _button("‹", "The kept step before")
        self.newer = _button("›", "The kept step after")
        self.widget = widgets.HBox([self.older, self.box, self.newer])
        self.box.observe(lambda change: self._chosen(change["new"]), "value")
        self.older.on_click(lambda _: self._chosen(self.beside(older=True)))
        self.newer.on_click(lambda _: self._chosen(self.beside(older=False)))

    @property
    def step(self) -> int | None:
        """The step to show; None while there is none."""
        return self.box.value or None

    def offer(self, step: int | None, last: int, kept: Sequence[int] = (), first: int = 1) -> None:
        """The dashboard is at `step` of a run; the steps from `first` to `last` may be chosen, and
        `kept` are those that have something to show, ascending."""
        self._kept = kept
        with self._view.filling():
            limits = {"max": last, "min": min(last, first)}
            # At no time may min be above max.
            for name in limits if last >= self.box.min else reversed(limits):
                set_if_changed(self.box, name, limits[name])
            set_if_changed(self.box, "value", min(max(step or 0, self.box.min), last))
            set_if_changed(self.box, "disabled", last == 0)
            for button, older in ((self.older, True), (self.newer, False)):
                set_if_changed(button, "disabled", self.beside(older) is None)

    def go_to(self, step: int) -> None:
        """Choose this step, on all pages."""
        self.selection.step = step
        # Where no dashboard has drawn it already, as in a page that stands alone.
        self._changed()

    def beside(self, older: bool) -> int | None:
        """The next kept step to that side; None where there is none."""
        if older:
            place = bisect_left(self._kept, self.box.value) - 1
        else:
            place = bisect_right(self._kept, self.box.value)
        return self._kept[place] if 0 <= place < len(self._kept) else None

    def _chosen(self, step: int | None) -> None:
        # Not under the page's lock: what observes the selection draws, and may be waiting for it.
        if step and not self._view.is_filling():
            self.go_to(step)


def _button(text: str, tip: str) -> widgets.Button:
    """Disabled until there is a step to go to."""
    return widgets.Button(
        description=text,
        tooltip=tip,
        layout=widgets.Layout(width="36px"),
        disabled=True,
    )
