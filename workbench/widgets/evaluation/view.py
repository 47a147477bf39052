"""The page "Evaluation": the evaluations over the steps, what greedy, mean@K, maj@K and pass@K were
before and after training, and the answers that they were counted from."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import pandas as pd

from workbench.runs.store.queries import DAMAGED
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.evaluation.answers import AnswersPart
from workbench.widgets.evaluation.charts import charts
from workbench.widgets.evaluation.figures import (
    JUDGES,
    groupings_of,
    sampled_of,
    steps_of,
)
from workbench.widgets.evaluation.markup import EVALUATION_CSS, label_table, main_table, words_html
from workbench.widgets.plots.liveplot import LivePlot

NO_RUN = "No run is shown yet."
NO_SAMPLES = (
    "This run has no evaluation with samples up to this step: GRPOConfig(eval_samples=8) makes one "
    "before the first step and one after the last (mean@8, maj@k, pass@k)."
)


class EvaluationView(Guarded):
    """The tab "Evaluation". Shown are the evaluations up to the dashboard's step: the first is the
    one before, the newest the one after, unless another is chosen."""

    title = "Evaluation"

    def __init__(self) -> None:
        super().__init__()
        self._source: RunSource | None = None
        self._step: int | None = None
        self._frame = pd.DataFrame()
        self.split = labelled_menu("split", [("none", "")], "240px", "50px")
        self.judge = labelled_menu("judge", JUDGES, "190px", "55px")
        self.before = labelled_menu("before: step", [("first", None)], "200px", "90px")
        self.after = labelled_menu("after: step", [("newest", None)], "200px", "90px")
        self.by = labelled_menu("by", [("none", "")], "190px", "40px")
        self.summary = widgets.HTML()
        self.plots = LivePlot(label="the evaluations", columns=2, height=260)
        self.table = widgets.HTML()
        self.labels = widgets.HTML()
        for menu in (self.split, self.judge, self.before, self.after, self.by):
            self.answer(menu, self._draw)
        self.answers = AnswersPart(self)
        self.widget = widgets.VBox(
            [
                stylesheet(EVALUATION_CSS),
                in_a_row(self.split, self.judge, self.before, self.after),
                self.message,
                self.summary,
                self.plots,
                self.table,
                self.by,
                self.labels,
                self.answers.widget,
            ]
        )
        self.show([], None)

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the evaluations of the first run up to `step`; None = all."""
        self.guarded(self._show, sources, step)

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        self._source = sources[0] if sources else None
        self._step = step
        if self._source is not None:
            self._frame = sampled_of(self._source.run)
        self._draw()

    def _draw(self) -> None:
        if self._source is None:
            return self._draw_empty(NO_RUN)
        self._offer_choices(self._source)
        split = self.split.value
        steps = self._steps(split)
        judge = self.judge.value
        drawn = charts(self._source, self._frame, split, judge, steps, self._step)
        self.plots.show(drawn)
        show_if(self.plots, True)
        lost = self._frame.attrs.get("damaged", {}).values()
        notes = [_note(why) for why in lost]
        if steps is None:
            notes.append(_note(NO_SAMPLES))
        self._draw_tables(split, steps, judge)
        words = "" if steps is None else words_html(self._frame, split, steps)
        set_if_changed(self.summary, "value", framed(words + "".join(notes)))
        self.answers.offer(None if steps is None else (self._source.run, split, steps))
        return self.settled()

    def _draw_empty(self, why: str) -> None:
        set_if_changed(self.summary, "value", framed(_note(why)))
        for part in (self.plots, self.by):
            show_if(part, False)
        for html in (self.table, self.labels):
            set_if_changed(html, "value", "")
        self.answers.offer(None)
        self.settled()

    def _draw_tables(self, split: str, steps: tuple[int, int] | None, judge: str) -> None:
        show_if(self.by, steps is not None and bool(self.by.value))
        main = parts = ""
        if steps is not None:
            table = main_table(self._frame, split, steps)
            main = framed(scrolling("the evaluations", table))
        set_if_changed(self.table, "value", main)
        if steps is not None and self.by.value:
            table = label_table(self._frame, split, steps, self.by.value, judge)
            parts = framed(scrolling(f"by {self.by.value}", table))
        set_if_changed(self.labels, "value", parts)

    # ------------------------------------------------------------ what can be chosen

    def _steps(self, split: str) -> tuple[int, int] | None:
        """The steps of the evaluations before and after; None where there is none."""
        there = self._shown_steps(split)
        if not there:
            return None
        before = there[0] if self.before.value is None else self.before.value
        after = there[-1] if self.after.value is None else self.after.value
        return before, after

    def _shown_steps(self, split: str) -> list[int]:
        return [s for s in steps_of(self._frame, split) if self._step is None or s <= self._step]

    def _offer_choices(self, source: RunSource) -> None:
        sampled = self._frame["split"]
        splits = dict.fromkeys([*sampled, *source.evaluations["split"]])
        named = [(menu_text(name, 40), name) for name in splits if name != DAMAGED]
        self._offer(self.split, named or [("none", "")])
        steps = [(str(step), step) for step in self._shown_steps(self.split.value)]
        self._offer(self.before, [("first", None), *steps])
        self._offer(self.after, [("newest", None), *steps])
        groupings = groupings_of(self._frame, self.split.value)
        self._offer(self.by, [(name, name) for name in groupings] or [("none", "")])

    def _offer(self, menu: widgets.Dropdown, options: Sequence[tuple[str, object]]) -> None:
        """New options, without undoing what a person has chosen."""
        if menu.options != tuple(options):
            chosen = menu.value
            with self.filling():
                menu.options = options
                known = [value for _, value in options]
                menu.value = chosen if chosen in known else known[0]


def _note(words: str) -> str:
    return f"<div class='wb-note' role='status'>{safe_text(words, 400)}</div>"
