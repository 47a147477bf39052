"""`Dashboard`: one widget over runs, live or stored, by the same code.

Every page is a view over run records. A live session only adds the control strip and tells the
dashboard when there is something new; what is drawn always comes from the record, so a replay shows
what was seen live.
"""

from __future__ import annotations

import html
import reprlib
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from workbench.runs import Run
from workbench.widgets.base.closing import close_all
from workbench.widgets.base.guarded import put, show_if
from workbench.widgets.base.hosts import limits_here, mimebundle
from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.publisher import Publisher
from workbench.widgets.base.source import RunSource, View
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.controls.replay import Replay
from workbench.widgets.controls.slider_names import SliderNames
from workbench.widgets.doctor_view import DoctorView
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.overview.view import Overview
from workbench.widgets.plots.liveplot import with_picture
from workbench.widgets.plots.pieces import plot_text
from workbench.widgets.tokens.view import TokensView
from workbench.widgets.what_if.view import WhatIfView

if TYPE_CHECKING:
    from workbench.training.session import Session

Target = Any
"""A `Session`, a `Run`, the path of a record, or a list of them (the first one is in focus)."""
TAKEN_OVER = "This dashboard stands still: a newer one shows the same session."


class Dashboard(w.VBox):
    """Overview, groups, tokens, what-if and doctor of one or several runs; with a session, the
    controls too.

    `target` is a `Session` (live), a `Run`, a path, or a list of those to compare. Everything shown
    belongs to the step chosen above the tabs; "newest" follows a live run. Needs no torch for a
    stored run. `scale` (0.5 to 4) makes all of it larger, for a projector. Of several dashboards of
    a session the newest one draws, the others offer to. Raises TypeError for what is none of these,
    ValueError for an empty list and a scale out of bounds.
    """

    def __init__(self, target: Target, *, scale: float = 1.0) -> None:
        targets = _targets(target)
        if not 0.5 <= scale <= 4:
            raise ValueError(
                f"Dashboard(scale={scale!r}): must be between 0.5 and 4; 1 is the normal size, 1.4 one for a projector."
            )
        sessions = [t for t in targets if _is_session(t) and t.status != "freed"]
        self.session: Session | None = sessions[0] if sessions else None
        self.sources = [RunSource(t.run, t) if _is_session(t) else RunSource(t) for t in targets]
        self.views: list[View] = [
            Overview(on_pick=self.show_step),
            GroupsView(on_pick=self._look_at),
            TokensView(),
            WhatIfView(),
            DoctorView(),
        ]
        self._drawing, self._moving = threading.RLock(), threading.local()
        self._stale = True
        self.error = w.HTML()
        self.still = self._make_still()
        self.tabs = w.Tab([v.widget for v in self.views])
        for i, view in enumerate(self.views):
            self.tabs.set_title(i, view.title)
        self.tabs.observe(lambda change: self.redraw(force=True), "selected_index")
        self.chooser = self._make_chooser()
        self.controls = self._make_controls()
        said = (
            framed(f'<div class="wb-note">{limits_here()}</div>')
            if self.controls and limits_here()
            else ""
        )
        size = f"wb-scaled-{round(100 * scale)}"  # a class of its own: another dashboard may have another scale
        zoom = w.HTML(f"<style>.{size} {{ zoom: {float(scale):.2f}; }}</style>{said}")
        parts = [zoom, self.still, self.error, self.chooser, self.tabs, SliderNames()]
        super().__init__([*parts[:1], self.controls.widget, *parts[1:]] if self.controls else parts)
        self.layout.width = "100%"
        self.add_class("wb-scaled").add_class(size)
        self.publisher = Publisher(self.redraw, sessions, self._stand_still)
        self.redraw(force=True)

    # ------------------------------------------------------------------------------------------------- drawing

    def redraw(self, force: bool = False) -> None:
        """Read what is new and draw the page that is open. Safe from any thread; what goes wrong is
        shown in the page."""
        with self._drawing:
            try:
                if self.controls:  # first: a record that cannot be read stops no one from steering
                    self.controls.refresh()
                self._redraw(force)
            except Exception as e:
                self._say(f"{type(e).__name__}: {e}", traceback.format_exc())

    def _redraw(self, force: bool) -> None:
        changed = [source.refresh() for source in self.sources]
        last = self.sources[0].last_step
        if last != self.step.max:
            self._follow(last)
        self._stale = self._stale or force or any(changed)
        if self._stale:
            self.view.show(self.sources, self.shown_step)
            answer_in_the_subshell(self)
            self._stale = False  # only now: what failed is tried again
        put(self.error, "value", "")

    def _say(self, text: str, detail: str) -> None:
        put(
            self.error,
            "value",
            framed(
                f'<div class="wb-error" role="alert">This page could not be drawn: {safe_text(text, 2000)}'
                f"<details><summary>where</summary><pre class='wb-text'>{safe_text(detail, 20_000)}</pre></details></div>"
            ),
        )

    @property
    def view(self) -> View:
        """The page that is open."""
        return self.views[self.tabs.selected_index or 0]

    @property
    def shown_step(self) -> int | None:
        """The step that the pages show; None follows the newest."""
        return None if self.newest.value or not self.sources[0].last_step else int(self.step.value)

    # ----------------------------------------------------------------------------------- choosing a
    # step, replaying

    def _make_chooser(self) -> w.Widget:
        self.newest = w.Checkbox(
            value=True, description="newest", indent=False, layout=w.Layout(width="90px")
        )
        self.step = w.IntSlider(
            value=0,
            min=0,
            max=0,
            description="step",
            continuous_update=True,
            layout=w.Layout(width="420px"),
            style={"description_width": "40px"},
        )
        self.replay = Replay(self.step)
        self.step.observe(self._step_moved, "value")
        self.newest.observe(self._newest_ticked, "value")
        return w.HBox(
            [self.newest, self.step, self.replay.widget],
            layout=w.Layout(flex_flow="row wrap", align_items="center"),
        )

    def _step_moved(self, change: dict[str, Any]) -> None:
        if not self._by_itself:
            with self._quietly():
                self.newest.value = False
            self.redraw(force=True)

    def _newest_ticked(self, change: dict[str, Any]) -> None:
        if not self._by_itself:
            with self._quietly():
                if self.newest.value:
                    self.step.value = self.step.max
            self.redraw(force=True)

    @property
    def _by_itself(self) -> bool:
        """True in the thread that is just moving the step without a person; what a person does
        meanwhile counts."""
        return getattr(self._moving, "now", False)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._moving.now = self._by_itself, True
        try:
            yield
        finally:
            self._moving.now = before

    def _follow(self, last: int) -> None:
        with self._quietly():
            limits = {"max": last, "min": min(1, last)}
            for name in (
                limits if last >= self.step.min else reversed(limits)
            ):  # at no time may min be above max
                setattr(self.step, name, limits[name])
            if self.newest.value:
                self.step.value = last

    def show_step(self, step: int) -> None:
        """Show `step` on every page."""
        with self._quietly():
            self.newest.value = False
            self.step.value = step
        self.redraw(force=True)

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
        from workbench.widgets.controls.controls import Controls

        return Controls(self.session, self.follow)

    def follow(self, session: Session) -> None:
        """Put another session in focus (a branch); the runs shown so far stay as the ones compared
        with."""
        with self._drawing:
            self.session = session
            self.sources = [RunSource(session.run, session), *self.sources]
            if self.controls:
                self.controls.follow(session)
            self.publisher.follow(session)
        self.redraw(force=True)

    def _make_still(self) -> w.Widget:
        words = w.HTML(framed(f'<div class="wb-note" role="status">{TAKEN_OVER}</div>'))
        button = w.Button(
            description="Follow here",
            tooltip="Draw here again, too",
            layout=w.Layout(width="110px"),
        )
        button.on_click(lambda _: self._go_on())
        return w.HBox([words, button], layout=w.Layout(display="none", align_items="center"))

    def _stand_still(self) -> None:
        show_if(self.still, True)
        if self.controls:
            show_if(self.controls.widget, False)

    def _go_on(self) -> None:
        show_if(self.still, False)
        if self.controls:
            show_if(self.controls.widget, True)
        self.publisher.resume()

    def picture(self) -> Any:
        """The curves as a still picture (an `IPython.display.SVG`), which stays when the notebook
        is saved."""
        from IPython.display import SVG

        return SVG(self._svg())

    def _svg(self) -> str:
        overview = next(v for v in self.views if isinstance(v, Overview))
        overview.show(self.sources, self.shown_step)
        return overview.picture()

    _ipython_display_ = None  # ipywidgets 7 would show the widget alone, without the picture

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and beside it a picture and words for where no widget runs (a saved notebook,
        a web page of it)."""
        data, metadata = mimebundle(self)
        if not self.sources[0].last_step:
            return data, metadata
        names = html.unescape(", ".join(plot_text(source.label, 80) for source in self.sources))
        return with_picture(
            data, self._svg(), f"Dashboard of {names}, step {self.sources[0].last_step}"
        ), metadata

    def close(self) -> None:
        """Stop drawing and give back all widgets of the page; the session goes on. Twice does
        nothing."""
        if hasattr(self, "publisher"):  # a dashboard whose making failed has none
            self.publisher.close()
            self.replay.stop()
            close_all([*self.children, self.layout])
        super().close()


def _targets(target: Target) -> list[Any]:
    """What to show, one by one. Raises TypeError, ValueError."""
    targets = list(target) if isinstance(target, (list, tuple)) else [target]
    for one in targets:
        if not (_is_session(one) or isinstance(one, (Run, str, Path))):
            raise TypeError(
                f"Dashboard({reprlib.repr(target)}): {reprlib.repr(one)} is a {type(one).__name__}. Give a Session, a Run, the path "
                "of a run, or a list of these."
            )
    if not targets:
        raise ValueError(
            "Dashboard([]): there is no run in the list. Give a Session, a Run, the path of a run, or a list of these."
        )
    return targets


def _is_session(target: Any) -> bool:
    return hasattr(target, "subscribe") and hasattr(target, "run")
