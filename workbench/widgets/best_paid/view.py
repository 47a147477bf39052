"""The page "Best paid": the answers that were paid most up to a step, so that a hacked reward is
seen at a glance."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import pandas as pd

from workbench.widgets.base.guarded import set_if_changed, show_if, stylesheet
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.pick_buttons import PickButtons
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.step_view import NO_RUN, StepView
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import safe_text
from workbench.widgets.best_paid.markup import BEST_PAID_CSS, summary_of, table_html

ANSWERS = 10
TOTAL = ("total reward", "")
TIES = ("most often", "shortest", "longest", "newest")
"""As `Run.best_paid` takes them."""
LENGTHS = (300, 1200, 4000)
"""Characters of an answer that can be shown."""
PATIENCE = 20.0
"""While a run goes on the ranking is read again after so many times as long as reading it took, so
that it takes no more than a twentieth of the time."""


class BestPaidView(StepView):
    """The tab "Best paid". `on_pick(step, row)` is called when a person wants to see an answer's
    tokens; `found` is the frame that is shown."""

    title = "Best paid"

    def __init__(
        self,
        on_pick: Callable[[int, int], None] = lambda step, row: None,
        selection: Selection | None = None,
    ) -> None:
        super().__init__(selection)
        self.on_pick = on_pick
        self.found = pd.DataFrame()
        self._opened = ""
        self._read_again_at = 0.0
        self.by = labelled_menu("ranked by", [TOTAL], "290px", "80px")
        self.ties = labelled_menu("of equals first", TIES, "250px", "110px")
        lengths = [(f"{n:,} characters", n) for n in LENGTHS]
        self.length = labelled_menu("texts up to", lengths, "250px", "80px", value=LENGTHS[0])
        self.summary = widgets.HTML()
        self.table = widgets.HTML()
        self.picks = PickButtons("look at tokens of", self._look_at_tokens)
        self.widget = widgets.VBox(
            [
                stylesheet(BEST_PAID_CSS),
                self.steps.widget,
                in_a_row(self.by, self.ties, self.length),
                self.message,
                self.summary,
                self.table,
                self.picks.widget,
            ]
        )
        self.answer(self.by, self.read)
        self.answer(self.ties, self.read)
        self.answer(self.length, self._draw)
        self.draw_empty(NO_RUN)

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        if not self._may_wait(sources, step):
            super()._show(sources, step)

    def _may_wait(self, sources: Sequence[RunSource], step: int | None) -> bool:
        """True for one more step of the run that is shown while it goes on, when the last reading
        was only just now."""
        is_same = bool(sources) and self.source is sources[0] and self._drawn is not None
        follows = step is None and is_same and sources[0].status == "running"
        return follows and time.monotonic() < self._read_again_at

    def draw_step(self, source: RunSource, step: int) -> None:
        """Read the ranking up to a step and draw it."""
        began = time.monotonic()
        self._offer_rewards(source.reward_names)
        by = self.by.value or None
        self.found = source.run.best_paid(step, ANSWERS, by, self.ties.value)
        self._opened = source.opened
        now = time.monotonic()
        self._read_again_at = now + PATIENCE * (now - began)
        self._draw()

    def draw_empty(self, why: str) -> None:
        """Show no answer, and why."""
        self.found = pd.DataFrame()
        note = f'<div class="wb-note" role="status">{safe_text(why)}</div>'
        set_if_changed(self.summary, "value", framed(note))
        set_if_changed(self.table, "value", "")
        show_if(self.picks.widget, False)

    def _offer_rewards(self, names: Sequence[str]) -> None:
        # Only for other functions: new options would undo what a person has chosen.
        options = (TOTAL, *((name, name) for name in names))
        if options != self.by.options:
            with self.filling():
                self.by.options = options
                self.by.value = TOTAL[1]

    def _draw(self) -> None:
        if self.source is None or self.step is None:
            return
        words = safe_text(summary_of(self.found, self.step, self.by.value, self._opened))
        lost = "".join(
            f'<div class="wb-note">{safe_text(why, 400)}</div>'
            for why in self.found.attrs.get("damaged", {}).values()
        )
        set_if_changed(self.summary, "value", framed(f'<div role="status">{words}</div>{lost}'))
        table = ""
        if len(self.found):
            names = self.source.reward_names
            rows = table_html(self.found, names, self.length.value, self._opened)
            table = framed(scrolling("the best-paid answers", rows))
        set_if_changed(self.table, "value", table)
        show_if(self.picks.widget, bool(len(self.found)))
        places = range(1, len(self.found) + 1)
        with self.filling():
            self.picks.offer({place: f"Look at the tokens of answer {place}" for place in places})
        self.settled()

    def _look_at_tokens(self, place: int) -> None:
        with self._lock:
            if self._filling:
                return
            answer = self.found.iloc[place - 1]
        try:  # not under the lock: what the listener draws may be waiting for it
            self.on_pick(int(answer.step), int(answer.row))
        except Exception as error:
            self.fail(error)
