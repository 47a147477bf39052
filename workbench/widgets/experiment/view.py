"""`ExperimentView`: an experiment while it runs, or from its folder, by the same code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from workbench.experiment import Experiment
from workbench.widgets.base.closing import close_all
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.hosts import mimebundle, with_picture
from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import menu_text
from workbench.widgets.dashboard import Dashboard
from workbench.widgets.experiment.charts import curves, forest
from workbench.widgets.experiment.markup import (
    EXPERIMENT_CSS,
    failed_html,
    progress_html,
    sentences_html,
    table_html,
)
from workbench.widgets.plots.liveplot import LivePlot

INTERVAL = 1.0
"""Seconds between two drawings while it runs: what is drawn is read from all records."""
NONE = "choose a run"


class ExperimentView(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Table, answer in words, curves with bands and forest plot of an experiment; live while it
    runs, with a button that stops it, and one that goes on.

    `target`: an `Experiment`, or the folder of one. A run that is chosen opens in a dashboard
    below. `close()` ends the drawing; the experiment goes on.
    """

    def __init__(self, target: Experiment | str | Path) -> None:
        self.experiment = target if isinstance(target, Experiment) else Experiment.open(target)
        self._closed = threading.Event()
        self._wake = threading.Event()
        # Beside the box and not a base of it: both have an `__init__` that the other would call.
        self._guard = Guarded()
        self.progress = widgets.HTML()
        self.go = widgets.Button(tooltip="Make the runs that are missing")
        self.go.on_click(lambda _: self._guard.guarded(self._go))
        self.table = widgets.HTML()
        self.words = widgets.HTML()
        self.plots = LivePlot(label="the experiment", columns=2, height=320)
        self.run = labelled_menu("run", [(NONE, None)], "320px", "40px")
        self._guard.answer(self.run, self._open_run)
        self.dashboard: Dashboard | None = None
        self.below = widgets.VBox([])
        super().__init__(
            [
                stylesheet(EXPERIMENT_CSS),
                self.progress,
                in_a_row(self.go),
                self._guard.message,
                self.words,
                self.table,
                self.plots,
                in_a_row(self.run),
                self.below,
            ]
        )
        self.layout.width = "100%"
        self.add_class("wb-scaled")
        self._drawn: Any = None
        self._drawn_at = 0.0
        self._leave = self.experiment.subscribe(self._wake.set)
        self.redraw()
        threading.Thread(target=self._follow, name="workbench experiment", daemon=True).start()

    # ------------------------------------------------------------ drawing

    def redraw(self) -> None:
        """Read all records and draw. Safe from any thread; what goes wrong is shown in place."""
        self._guard.guarded(self._redraw)

    def _redraw(self) -> None:
        self._drawn_at = time.monotonic()
        progress = self.experiment.progress()
        failed = failed_html(self.experiment.failed)
        set_if_changed(self.progress, "value", framed(progress_html(progress) + failed))
        # By the state that the words were drawn from: asked for once more it may have ended since.
        is_busy = progress.status in ("running", "stopping")
        set_if_changed(self.go, "description", "Stop" if is_busy else "Go on")
        set_if_changed(self.go, "disabled", progress.status == "stopping")
        show_if(self.go, progress.status != "finished")
        # The records are read again only where one has grown.
        state = (progress.steps_done, progress.done)
        if state != self._drawn:
            self._draw_result()
            self._drawn = state
        self._guard.settled()
        answer_in_the_subshell(self)

    def _draw_result(self) -> None:
        result = self.experiment.result()
        set_if_changed(self.words, "value", framed(sentences_html(result)))
        set_if_changed(
            self.table, "value", framed(scrolling("variants and controls", table_html(result)))
        )
        self.plots.show([forest(result), curves(result)])
        made = [o.folder for row in result.rows for o in row.outcomes if o.status != "waiting"]
        options = [(NONE, None), *((menu_text(folder.name, 60), folder) for folder in made)]
        if tuple(options) != self.run.options:
            chosen = self.run.value
            with self._guard.filling():
                self.run.options = options
                self.run.value = chosen

    def _follow(self) -> None:
        """Draw while it runs, and once more when it has ended; between, sleep."""
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            with self._drawn_by_waiting_cells():
                while self._is_busy():
                    self.redraw()
                    self._wake.wait(INTERVAL)
                    self._wake.clear()
            if not self._closed.is_set():
                self.redraw()

    def _is_busy(self) -> bool:
        return not self._closed.is_set() and self.experiment.is_running

    @contextmanager
    def _drawn_by_waiting_cells(self) -> Iterator[None]:
        """In Colab nothing that this thread draws reaches the page: while a cell waits for the
        experiment, the main thread draws too."""
        if not self._is_busy():
            yield
            return
        # Not at the top: it brings torch with it, which a stored experiment does without; what runs
        # has it already.
        from workbench.training.session.pump import PUBLISHERS

        PUBLISHERS.append(self._publish)
        try:
            yield
        finally:
            PUBLISHERS.remove(self._publish)

    def _publish(self, at_once: bool) -> None:
        if at_once or time.monotonic() - self._drawn_at > INTERVAL:
            self.redraw()

    # ------------------------------------------------------------ what a person does

    def _go(self) -> None:
        if self.experiment.is_running:
            self.experiment.stop()
        else:
            self.experiment.start()
        self._wake.set()

    def _open_run(self) -> None:
        if self.dashboard is not None:
            self.dashboard.close()
            self.dashboard = None
        if self.run.value is not None:
            self.dashboard = Dashboard(self.run.value)
        self.below.children = [] if self.dashboard is None else [self.dashboard]
        answer_in_the_subshell(self)

    # ------------------------------------------------------------ where no widget is running

    _ipython_display_ = None  # ipywidgets 7 would show the widget alone, without the picture

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and beside it a picture and words for where no widget runs."""
        data, metadata = mimebundle(self)
        words = str(self.experiment.result())
        inner = f"{self.words.value}{self.table.value}"
        return with_picture(data, words, self.plots.picture(), inner), metadata

    def close(self) -> None:
        """Stop drawing and give back all widgets; the experiment goes on. Twice does nothing."""
        if hasattr(self, "_leave") and not self._closed.is_set():
            self._closed.set()
            self._wake.set()
            self._leave()
            if self.dashboard is not None:
                self.dashboard.close()
            close_all([*self.children, self.layout])
        super().close()
