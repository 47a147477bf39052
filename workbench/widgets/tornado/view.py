"""The tab "Tornado": makes one from the state of a live session, and shows those that a run has,
live or stored, without torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets

from workbench.runs.tornado.stored import is_of_this_past, open_tornado, stored_tornados
from workbench.runs.tornado.words import as_html
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.step_view import NO_RUN
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import safe_text

if TYPE_CHECKING:
    from workbench.training.session import Session
    from workbench.training.tornado import Tornado

TORNADO_CSS = Path(__file__).with_name("tornado.css").read_text(encoding="utf-8")

NONE_YET = (
    "No tornado yet. One tries each knob lower and higher for a few steps from where the session "
    "is, and says which of them did more than another seed would have done. The session is "
    "afterwards as it was."
)
NONE_STORED = "This run holds no tornado. One is made from a live session, session.tornado()."
OTHER_PAST = (
    "The run has gone back since and went on differently: this tornado is of a past that it no "
    "longer has."
)
INTERVAL = 0.2
"""Seconds between two drawings of the progress."""


class TornadoView(Guarded):
    """What each knob would have done from a step on, as bars against the band of a seed change.

    `tornado` is the one in hand or made last here; None before the first.
    """

    title = "Tornado"

    def __init__(self) -> None:
        super().__init__()
        self.source: RunSource | None = None
        self.tornado: Tornado | None = None
        self._files: list[Path] = []
        self._drawn: object = None
        self._said_at = 0.0
        self.steps = _count_box("steps", 4, 1, 50)
        self.seeds = _count_box("other seeds", 3, 3, 20)
        self.start = widgets.Button(
            description="Try every knob",
            tooltip="Each knob lower and higher from the state of now; the session rests meanwhile",
            layout=widgets.Layout(width="130px"),
        )
        self.cancel = widgets.Button(
            description="Cancel",
            tooltip="End the tornado soon; the session is as it was",
            layout=widgets.Layout(width="90px"),
        )
        self.bar = widgets.IntProgress(min=0, max=1, layout=widgets.Layout(width="160px"))
        self.said = widgets.HTML()
        self.form = in_a_row(self.steps, self.seeds, self.start, self.cancel, self.bar, self.said)
        self.chosen = labelled_menu("shown", [], "260px", "60px")
        self.picture = widgets.HTML()
        self.widget = widgets.VBox(
            [stylesheet(TORNADO_CSS), self.form, self.message, self.chosen, self.picture]
        )
        self.start.on_click(lambda _: self._start_or_fail())
        self.cancel.on_click(lambda _: self.guarded(self._cancel))
        self.answer(self.chosen, self._draw)
        self.show([], None)

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Offer the tornados of the first run; the newest is shown unless another was chosen. They
        belong to steps of their own, so that `step` changes nothing."""
        self.guarded(self._show, sources)

    def _show(self, sources: Sequence[RunSource]) -> None:
        source = sources[0] if sources else None
        if source is not self.source:
            self.source = source
            self.tornado = None
            self._drawn = None
        self._show_form()
        self._offer()
        self._draw()

    @property
    def session(self) -> Session | None:
        """The session that can make one; None for a stored run."""
        return None if self.source is None else self.source.session

    def _show_form(self) -> None:
        session = self.session
        show_if(self.form, session is not None and session.status != "freed")
        runs = self.tornado is not None and not self.tornado.done
        set_if_changed(self.start, "disabled", runs)
        show_if(self.cancel, runs)
        show_if(self.bar, runs)

    # ------------------------------------------------------------------- making one

    def _start_or_fail(self) -> None:
        # Not under the lock: it waits for the step in hand, whose listeners may wait for the lock.
        try:
            self._start()
        except Exception as error:
            self.fail(error)

    def _start(self) -> None:
        session = self.session
        if session is None or (self.tornado is not None and not self.tornado.done):
            return
        self.settled()
        self.tornado = session.tornado(steps=self.steps.value, seeds=self.seeds.value)
        self.tornado.subscribe(self._follow)
        self._follow()

    def _cancel(self) -> None:
        if self.tornado is not None:
            self.tornado.cancel()
            self._say("cancelling …")

    def _follow(self) -> None:
        """Called from the training's thread: says how far it is, and shows what was found."""
        tornado = self.tornado
        if tornado is None:
            return
        now = time.monotonic()
        if not tornado.done and now - self._said_at < INTERVAL:
            return
        self._said_at = now
        self.guarded(self._say_progress, tornado)

    def _say_progress(self, tornado: Tornado) -> None:
        progress = tornado.progress
        set_if_changed(self.bar, "max", progress.total)
        set_if_changed(self.bar, "value", progress.done)
        words = str(progress) if tornado.state == "running" else f"{tornado.state}."
        self._say(words)
        self._show_form()
        if tornado.state == "failed" and tornado.error is not None:
            self.fail(tornado.error)
        if tornado.state == "finished":
            self._offer()
            self._draw()

    def _say(self, words: str) -> None:
        told = f'<span role="status">{safe_text(words, 300)}</span>'
        set_if_changed(self.said, "value", framed(told))

    # ------------------------------------------------------------------ showing them

    def _offer(self) -> None:
        files = [] if self.source is None else stored_tornados(self.source.run)
        # Only where there are others: new options would undo what a person has chosen.
        if files != self._files:
            self._files = files
            with self.filling():
                self.chosen.options = [(_label(path), str(path)) for path in files]
                self.chosen.value = str(_newest(files)) if files else None
        show_if(self.chosen, bool(files))

    def _draw(self) -> None:
        path = self.chosen.value
        if path is None or self.source is None:
            words = NO_RUN if self.source is None else NONE_YET if self.session else NONE_STORED
            self._draw_words(words)
            return
        key = (path, self.source.run.position()[0])
        if key == self._drawn:
            return
        result = open_tornado(path)
        parts = [scrolling("the tornado", as_html(result))]
        if not is_of_this_past(result, self.source.run):
            parts.insert(0, f'<div class="wb-note" role="status">{OTHER_PAST}</div>')
        set_if_changed(self.picture, "value", framed("".join(parts)))
        self._drawn = key

    def _draw_words(self, words: str) -> None:
        self._drawn = None
        note = f'<div class="wb-note" role="status">{words}</div>'
        set_if_changed(self.picture, "value", framed(note))


def _count_box(label: str, value: int, low: int, high: int) -> widgets.BoundedIntText:
    return widgets.BoundedIntText(
        value=value,
        min=low,
        max=high,
        description=label,
        layout=widgets.Layout(width="150px"),
        style={"description_width": "80px"},
    )


def _newest(files: Sequence[Path]) -> Path:
    """The one that was made last, which need not be that of the last step."""
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def _label(path: Path) -> str:
    _, step, *again = path.stem.split("-")
    return f"from step {int(step)}" + (f", number {again[0]}" if again else "")
