"""`Dashboard`: one widget over runs, live or stored, by the same code.

Every page is a view over run records. A live session only adds the control strip and tells the dashboard when there is
something new; what is drawn always comes from the record, so a replay shows what was seen live.
"""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from workbench.widgets.doctor_view import DoctorView
from workbench.widgets.groups import GroupsView
from workbench.widgets.kernel import answer_in_the_subshell
from workbench.widgets.liveplot import with_picture
from workbench.widgets.overview import Overview
from workbench.widgets.publisher import Publisher
from workbench.widgets.replay import Replay
from workbench.widgets.source import RunSource, View
from workbench.widgets.style import framed
from workbench.widgets.text import safe_text
from workbench.widgets.tokens import TokensView
from workbench.widgets.what_if import WhatIfView

if TYPE_CHECKING:
    from workbench.training.session import Session

Target = Any
"""A `Session`, a `Run`, the path of a record, or a list of them (the first one is in focus)."""


class Dashboard(w.VBox):
    """Overview, groups, tokens, what-if and doctor of one or several runs; with a session, the controls too.

    `target` is a `Session` (live), a `Run`, a path, or a list of those to compare. Everything shown belongs to the step
    chosen above the tabs; "newest" follows a live run. Needs no torch for a stored run.
    """

    def __init__(self, target: Target, *, scale: float = 1.0) -> None:
        targets = list(target) if isinstance(target, (list, tuple)) else [target]
        sessions = [t for t in targets if _is_session(t)]
        self.session: Session | None = sessions[0] if sessions else None
        self.sources = [RunSource(t.run if _is_session(t) else t) for t in targets]
        self.views: list[View] = [Overview(on_pick=self.show_step), GroupsView(on_pick=self._look_at), TokensView(), WhatIfView(), DoctorView()]
        self._drawing = threading.RLock()
        self.error = w.HTML()
        self.tabs = w.Tab([v.widget for v in self.views])
        for i, view in enumerate(self.views):
            self.tabs.set_title(i, view.title)
        self.tabs.observe(lambda change: self.redraw(force=True), "selected_index")
        self.chooser = self._make_chooser()
        self.controls = self._make_controls()
        zoom = w.HTML(f"<style>.wb-scaled {{ zoom: {float(scale):.2f}; }}</style>")
        parts = [zoom, self.error, self.chooser, self.tabs]
        super().__init__([self.controls.widget, *parts] if self.controls else parts)
        self.layout.width = "100%"
        self.add_class("wb-scaled")
        self.publisher = Publisher(self.redraw, self.session)
        self.redraw(force=True)

    # ------------------------------------------------------------------------------------------------- drawing

    def redraw(self, force: bool = False) -> None:
        """Read what is new and draw the page that is open. Safe from any thread; what goes wrong is shown in the page."""
        with self._drawing:
            try:
                self._redraw(force)
            except Exception as e:
                self._say(f"{type(e).__name__}: {e}", traceback.format_exc())

    def _redraw(self, force: bool) -> None:
        changed = [source.refresh() for source in self.sources]
        if self.controls:
            self.controls.refresh()
        last = self.sources[0].last_step
        if last > self.step.max or last < self.step.max:
            self._follow(last)
        if force or any(changed):
            self.view.show(self.sources, self.shown_step)
            answer_in_the_subshell(self)
        if self.error.value:
            self.error.value = ""

    def _say(self, text: str, detail: str) -> None:
        self.error.value = framed(
            f'<div class="wb-error" role="alert">This page could not be drawn: {safe_text(text, 2000)}'
            f"<details><summary>where</summary><pre class='wb-text'>{safe_text(detail, 20_000)}</pre></details></div>")

    @property
    def view(self) -> View:
        """The page that is open."""
        return self.views[self.tabs.selected_index or 0]

    @property
    def shown_step(self) -> int | None:
        """The step that the pages show; None follows the newest."""
        return None if self.newest.value or not self.sources[0].last_step else int(self.step.value)

    # ----------------------------------------------------------------------------------- choosing a step, replaying

    def _make_chooser(self) -> w.Widget:
        self.newest = w.Checkbox(value=True, description="newest", indent=False, layout=w.Layout(width="90px"))
        self.step = w.IntSlider(value=0, min=0, max=0, description="step", continuous_update=True, layout=w.Layout(width="420px"),
                                style={"description_width": "40px"})
        self.replay = Replay(self.step)
        self.step.observe(self._step_moved, "value")
        self.newest.observe(lambda change: self.redraw(force=True), "value")
        return w.HBox([self.newest, self.step, self.replay.widget], layout=w.Layout(flex_flow="row wrap", align_items="center"))

    def _step_moved(self, change: dict[str, Any]) -> None:
        if not self._following:
            self.newest.value = False
            self.redraw(force=True)

    _following = False

    def _follow(self, last: int) -> None:
        self._following = True
        try:
            limits = {"max": last, "min": min(1, last)}
            for name in limits if last >= self.step.min else reversed(limits):  # at no time may min be above max
                setattr(self.step, name, limits[name])
            if self.newest.value:
                self.step.value = last
        finally:
            self._following = False

    def show_step(self, step: int) -> None:
        """Show `step` on every page."""
        self.newest.value = False
        self.step.value = step

    def _look_at(self, row: int) -> None:
        """A completion picked in the groups: open it under the microscope."""
        groups = next(v for v in self.views if isinstance(v, GroupsView))
        tokens = next(v for v in self.views if isinstance(v, TokensView))
        tokens.pick(row, groups.step)
        self.tabs.selected_index = self.views.index(tokens)

    # ------------------------------------------------------------------------------------------------ live sessions

    def _make_controls(self) -> Any:
        if self.session is None:
            return None
        from workbench.widgets.controls import Controls

        return Controls(self.session, self.follow)

    def follow(self, session: Session) -> None:
        """Put another session in focus (a branch); the runs shown so far stay as the ones compared with."""
        with self._drawing:
            self.session = session
            self.sources = [RunSource(session.run), *self.sources]
            if self.controls:
                self.controls.follow(session)
            self.publisher.follow(session)
        self.redraw(force=True)

    def picture(self) -> Any:
        """The curves as a still picture (an `IPython.display.SVG`), which stays when the notebook is saved."""
        from IPython.display import SVG

        return SVG(self._svg())

    def _svg(self) -> str:
        overview = next(v for v in self.views if isinstance(v, Overview))
        overview.show(self.sources, self.shown_step)
        return overview.picture()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and beside it a picture and words for where no widget runs (a saved notebook, a web page of it)."""
        data = super()._repr_mimebundle_(**kwargs)
        if data is None or not self.sources[0].last_step:
            return data
        names = ", ".join(source.label for source in self.sources)
        return with_picture(data, self._svg(), f"Dashboard of {names}, step {self.sources[0].last_step}")

    def close(self) -> None:
        """Stop drawing; the session goes on."""
        if hasattr(self, "publisher"):  # a dashboard whose making failed has none
            self.publisher.close()
        self.replay.stop()
        super().close()


def _is_session(target: Any) -> bool:
    return hasattr(target, "subscribe") and hasattr(target, "run")
