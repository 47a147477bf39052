"""The page "Behaviours": how the kinds of completions move over a run, with examples of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np

from workbench.tasks.behaviours import BEHAVIOURS
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.pick_buttons import PickButtons
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import safe_text
from workbench.widgets.behaviours.chart import stream
from workbench.widgets.behaviours.kinds import kind_at, merged, shares, varied, with_hacked
from workbench.widgets.behaviours.markup import examples_html
from workbench.widgets.behaviours.read import KindsRead
from workbench.widgets.plots.liveplot import LivePlot

EXAMPLES = 6
NO_RUN = "No run is shown yet."
NOT_KEPT = "No completions were kept of this run."
Interval = tuple[int, int]


class BehavioursView(Guarded):
    """The tab "Behaviours". `on_pick(step, row)` is called when a person wants to see the tokens of
    a completion; `interval()` is the stretch of steps that the page is about, None for all."""

    title = "Behaviours"

    def __init__(
        self,
        on_pick: Callable[[int, int], None] = lambda step, row: None,
        interval: Callable[[], Interval | None] = lambda: None,
    ) -> None:
        super().__init__()
        self.on_pick = on_pick
        self._interval = interval
        self._read = KindsRead()
        self._source: RunSource | None = None
        self._all: dict[int, list[str]] = {}
        self._kinds: dict[int, list[str]] = {}
        self._shares: dict[str, np.ndarray] = {}
        self._step: int | None = None
        self._shown_examples: object = None
        self.summary = widgets.HTML()
        self.plot = LivePlot(columns=1, height=260, label="behaviours", linked=True)
        self.kind = labelled_menu("examples of", [], "320px", "90px")
        self.examples = widgets.HTML()
        self.picks = PickButtons("look at tokens of", self._look_at_tokens)
        self._below = widgets.VBox([in_a_row(self.kind), self.examples, self.picks.widget])
        self.widget = widgets.VBox(
            [stylesheet(), self.message, self.summary, self.plot, self._below],
            layout=widgets.Layout(width="100%"),
        )
        self.plot.observe(lambda change: self.guarded(self._clicked, change["new"]), "clicked")
        self.answer(self.kind, self._draw_examples)
        self.show([], None)

    @property
    def step(self) -> int | None:
        """The kept step that the examples are of."""
        return self._step

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the run in focus, with examples of the kept step nearest to `step` (None = its
        newest)."""
        self.guarded(self._show, sources, step)

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        self._source = sources[0] if sources else None
        missing: list[int] = []
        if self._source is None:
            self._all = self._kinds = {}
        else:
            missing = self._read.read(self._source)
            self._name(self._source.run.meta.task)
            self._draw_stream(self._source, step)
        self._say(missing)
        show_if(self.plot, bool(self._all))
        show_if(self._below, bool(self._kinds))
        if self._kinds:
            wanted = max(self._kinds) if step is None else step
            self._step = min(self._kinds, key=lambda kept: (abs(kept - wanted), -kept))
            self._offer_kinds()
            self._draw_examples()
        self.settled()

    def _name(self, task: str) -> None:
        """The kinds of all steps, and of those that the page is about."""
        found = merged(with_hacked(self._read.steps, task), task)
        self._all = {step: found[step] for step in sorted(found) if found[step]}
        self._shares = shares(self._all, task)
        first, last = self._interval() or (0, max(self._all, default=0))
        self._kinds = {step: kinds for step, kinds in self._all.items() if first <= step <= last}

    def _draw_stream(self, source: RunSource, step: int | None) -> None:
        # All of it: a stretch without a kept step shows what lies between those beside it.
        chart = stream(source, list(self._all), self._shares, self._interval(), step)
        self.plot.show([chart])

    def _say(self, missing: Sequence[int]) -> None:
        if self._source is None:
            words = NO_RUN
        elif not self._all:
            words = NOT_KEPT
        elif not self._kinds:
            words = f"None of {self._which()} was kept."
        else:
            task = self._source.run.meta.task
            by = f"the task {task}" if task in BEHAVIOURS else "which reward functions paid"
            words = (
                f"Kinds by {by}. In {self._which()}, of which {len(self._kinds)} were read: "
                f"{self._whole_shares()}."
            )
            if missing:
                words += f" {len(missing)} are still to be read."
        note = f"<div role='status'>{safe_text(words, 600)}</div>"
        set_if_changed(self.summary, "value", framed(note))

    def _which(self) -> str:
        last = self._source.last_step if self._source else 0
        first, last = self._interval() or (1, last)
        return f"steps {first} to {last}"

    def _whole_shares(self) -> str:
        """How often each kind came in all, the most frequent first."""
        every = [kind for kinds in self._kinds.values() for kind in kinds]
        counts = sorted(((every.count(kind), kind) for kind in self._shares), reverse=True)
        return ", ".join(f"{kind} {count / max(len(every), 1):.0%}" for count, kind in counts)

    def _offer_kinds(self) -> None:
        # New options would undo what a person has chosen.
        options = tuple(self._shares)
        if options != self.kind.options:
            chosen = self.kind.value
            if chosen not in options and self._step is not None:
                here = self._all[self._step]
                chosen = max(options, key=here.count)
            with self.filling():
                self.kind.options = options
                self.kind.value = chosen if options else None

    def _draw_examples(self) -> None:
        source, step, kind = self._source, self._step, self.kind.value
        if source is None or step is None:
            return
        kinds = self._all.get(step, [])
        rows = [row for row, one in enumerate(kinds) if one == kind]
        state = (source.run.path, source.run.position()[0], step, kind, tuple(rows))
        if state == self._shown_examples:
            return
        name = safe_text(str(kind), 80)
        head = f"<b>step {step}</b>: {len(rows)} of {len(kinds)} are {name}"
        table = ""
        shown: list[int] = []
        if rows:
            samples = source.run.samples(step)
            shown = varied(samples[samples["row"].isin(rows)], EXAMPLES)
            examples = examples_html(samples[samples["row"].isin(shown)], source.opened)
            table = scrolling("examples", examples)
            head += "." if len(rows) <= EXAMPLES else f"; {EXAMPLES} of them."
        set_if_changed(self.examples, "value", framed(f"<p role='status'>{head}</p>{table}"))
        show_if(self.picks.widget, bool(shown))
        with self.filling():
            self.picks.offer({row: f"Look at the tokens of row {row}" for row in shown})
        self._shown_examples = state

    def _clicked(self, clicked: dict[str, Any]) -> None:
        """A band of the stream: examples of its kind at that step."""
        if not clicked or not self._all:
            return
        steps = list(self._all)
        place = int(np.argmin([abs(step - clicked["x"]) for step in steps]))
        self._step = steps[place]
        kind = kind_at(self._shares, place, clicked.get("y", -1.0))
        if kind is not None:
            with self.filling():
                self.kind.value = kind
        self._draw_examples()

    def _look_at_tokens(self, row: int) -> None:
        with self._lock:
            if self._filling or self._step is None:
                return
            step = self._step
        try:  # not under the lock: what the listener draws may be waiting for it
            self.on_pick(step, row)
        except Exception as error:
            self.fail(error)
