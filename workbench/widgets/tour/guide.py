"""`Guide`: the button that starts the tour, the card that leads through it and the ring around what
it speaks of. The page keeps place and keys; the kernel opens each stop and says its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anywidget
import traitlets

from workbench.widgets.base.page import module_beside
from workbench.widgets.tour.stops import STOPS, Card

if TYPE_CHECKING:
    from workbench.widgets.dashboard import Dashboard

NO_TOUR = -1


class Guide(anywidget.AnyWidget):
    """Leads through one dashboard. It never starts by itself, and a page loaded anew does not go
    on with it: what it was at is known to the page alone.

    titles   of the stops
    stop     the stop that a page is at; -1 while no tour is on
    card     what the kernel says of it: `stop`, `text`, `targets`, `press`
    asked    a mark of each call of `ask`; `taken` the one that a page has begun with
    """

    _esm = module_beside(__file__)
    _css = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

    titles: traitlets.List[str] = traitlets.List(traitlets.Unicode(), list(STOPS)).tag(sync=True)
    stop = traitlets.Int(NO_TOUR).tag(sync=True)
    card: traitlets.Dict[str, Any] = traitlets.Dict({"stop": NO_TOUR}).tag(sync=True)
    asked = traitlets.Unicode().tag(sync=True)
    taken = traitlets.Unicode().tag(sync=True)

    def __init__(self, dashboard: Dashboard) -> None:
        super().__init__()
        self._dashboard = dashboard
        self._before: tuple[int, int | None, int | None] | None = None
        self._left: tuple[int, int | None, int | None] | None = None
        self.observe(lambda change: self._go(change["new"]), "stop")

    def ask(self) -> None:
        """Start the tour in the page that shows the dashboard, or shows it next."""
        self.asked = uuid4().hex

    def _go(self, stop: int) -> None:
        if stop == NO_TOUR:
            self._put_back()
            return
        if self._before is None:
            self._before = self._place()
        try:
            card = list(STOPS.values())[stop](self._dashboard)
        except Exception as error:  # a front end would drop it
            card = Card(f"This stop cannot be shown: {type(error).__name__}: {error}", ())
        self._left = self._place()
        self.card = {"stop": stop, **vars(card)}

    def _place(self) -> tuple[int, int | None, int | None]:
        """The page that is open, the step and the completion that are chosen."""
        dashboard = self._dashboard
        return dashboard.tabs.selected_index or 0, dashboard.steps.chosen, dashboard.selection.row

    def _put_back(self) -> None:
        """Show again what was shown before the tour, where nobody has chosen otherwise since."""
        before, left, now = self._before, self._left, self._place()
        self._before = self._left = None
        self.card = {"stop": NO_TOUR}
        if before is None or left is None:
            return
        page, step, row = (
            was if is_now == led_to else is_now
            for was, led_to, is_now in zip(before, left, now, strict=True)
        )
        self._dashboard.selection.row = row
        self._dashboard.selection.step = step
        self._dashboard.tabs.selected_index = page
