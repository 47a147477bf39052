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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ipywidgets as widgets

from workbench.runs import Run
from workbench.widgets.base.closing import close_all
from workbench.widgets.base.diagnoses import Diagnoses
from workbench.widgets.base.guarded import set_if_changed, show_if, stylesheet
from workbench.widgets.base.hosts import limits_here, mimebundle
from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.publisher import Publisher
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import Control, RunSource, View, controls_to_show
from workbench.widgets.base.stretch import Stretch
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.controls.slider_names import SliderNames
from workbench.widgets.controls.step_slider import StepSlider
from workbench.widgets.doctor.view import DoctorView
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.overview.view import Overview
from workbench.widgets.pages import PAGES, Links
from workbench.widgets.plots.liveplot import with_picture
from workbench.widgets.plots.pieces import plot_text
from workbench.widgets.staging.bookmark import (
    FIRST_COLOUR,
    FIRST_PAGE,
    check_step,
    check_view,
    code_of,
    on_another_view,
    open_view,
    tokens_of,
)
from workbench.widgets.staging.preview import Preview
from workbench.widgets.staging.saved import SavedPicture
from workbench.widgets.staging.stage import Stage
from workbench.widgets.timeline.part import TimelinePart
from workbench.widgets.tour.guide import Guide

if TYPE_CHECKING:
    from workbench.training.session import Session
    from workbench.widgets.controls.controls import Controls

Target = Any
"""A `Session`, a `Run`, the path of a record, or a list of them (the first one is in focus)."""
Page = TypeVar("Page")
TAKEN_OVER = "This dashboard stands still: a newer one shows the same session."


class Dashboard(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Overview, groups, tokens, what-if and doctor of one or several runs; with a session, the
    controls too.

    `target` is a `Session` (live), a `Run`, a path, or a list of those to compare. Everything shown
    belongs to the step chosen above the tabs; "newest" follows a live run. Needs no torch for a
    stored run. `scale` (0.5 to 4) makes all of it larger, for a projector. Of several dashboards of
    a session the newest one draws, the others offer to. Raises TypeError for what is none of these,
    ValueError for an empty list and a scale out of bounds.

    `control` is a run of the same training with rewards that say nothing (a `Run`, a path, or a
    list of them): a grey band behind held-out accuracy and reward shows what it reached. None takes
    those that lie beside the run in focus (`workbench.runs.controls_beside`), () shows none.

    `page` (a name of `workbench.widgets.pages.PAGES`), `step` (None = the newest), `row` (a
    completion of that step, for the tokens) and `colour` (a name of the token microscope's menu)
    say what it opens on; "Copy this view" writes them. Raises ValueError for what is not there.
    """

    def __init__(
        self,
        target: Target,
        *,
        step: int | None = None,
        page: str = FIRST_PAGE,
        row: int | None = None,
        colour: str = FIRST_COLOUR,
        control: Control | None = None,
        scale: float = 1.0,
    ) -> None:
        targets = _targets(target)
        check_view(page, step, row, colour)
        if not 0.5 <= scale <= 4:
            raise ValueError(
                f"Dashboard(scale={scale!r}): must be between 0.5 and 4; 1 is the normal size, "
                "1.4 one for a projector."
            )
        sessions = [one for one in targets if _is_session(one) and one.status != "freed"]
        self.session: Session | None = sessions[0] if sessions else None
        self.sources = [_source_of(one) for one in targets]
        self.sources[0].controls = controls_to_show(self.sources[0].run, control)
        self._drawing = threading.RLock()
        self._stale = True
        self.selection = Selection()
        self.diagnoses = Diagnoses()
        # Before the pages, which ask for the stretch that is chosen on it.
        self.steps = StepSlider(self._step_moved)
        self.timeline = TimelinePart(self.steps, self._draw_anew, self.diagnoses)
        self.pages = _make_pages(self._links())
        self.tabs = self._make_tabs()
        self.preview = Preview(self.tabs)
        self.error = widgets.HTML()
        self.still = self._make_still()
        self.selection.observe(lambda change: self._step_selected(), "step")
        self.step = self.steps.slider
        self.newest = self.steps.newest
        self.replay = self.steps.replay
        self.dock_slot = widgets.HBox()
        self.timeline_slot = widgets.HBox([self.timeline.widget])
        self.timeline_slot.add_class("wb-line").add_class("wb-timeline-slot")
        self.controls = self._make_controls()
        self.scale = scale
        self.stage = Stage()
        self.guide = Guide(self)
        self.dock_slot.children = [self.stage, self.guide]
        self.saved = SavedPicture(self)
        super().__init__(self._parts(scale))
        self.stage.dashboard = self.model_id
        check_step(self, step)
        self.layout.width = "100%"
        for name in ("wb-scaled", "wb-dash", _size_class(scale)):
            self.add_class(name)
        # Last: from here on another thread may draw, so that everything must be there.
        self.publisher = Publisher(self.redraw, sessions, self._stand_still, self.glance)
        if self.controls:
            self.controls.inside.observe(lambda change: self.glance(), "seen")
        self._draw_anew()
        open_view(self, page, step, row, colour)
        on_another_view(self, self._say_how_it_stands)

    # ---------------------------------------------------------------- making

    def _links(self) -> Links:
        return Links(
            self.show_step,
            self._show_tokens,
            self._show_completion,
            stretch=Stretch(lambda: self.timeline.interval, lambda: self.timeline.show_all()),
            diagnoses=self.diagnoses,
            focus=self.focus_on,
            follow=self.follow,
            selection=self.selection,
            branch=self._branch,
        )

    def _make_tabs(self) -> widgets.Tab:
        tabs = widgets.Tab([view.widget for view in self.views]).add_class("wb-tabs")
        for place, view in enumerate(self.views):
            tabs.set_title(place, view.title)
        tabs.observe(lambda change: self._draw_anew(), "selected_index")
        return tabs

    def _make_controls(self) -> Controls | None:
        if self.session is None:
            return None
        from workbench.widgets.controls.controls import Controls

        return Controls(
            self.session,
            self.follow,
            on_reopened=self.take_up,
            on_rewind=self.steps.follow_newest,
            beside=self.dock_slot,
        )

    def _make_still(self) -> widgets.Widget:
        words = widgets.HTML(framed(f'<div class="wb-note" role="status">{TAKEN_OVER}</div>'))
        button = widgets.Button(
            description="Follow here",
            tooltip="Draw here again, too",
            layout=widgets.Layout(width="110px"),
        )
        button.on_click(lambda _: self._go_on())
        return widgets.HBox(
            [words, button],
            layout=widgets.Layout(display="none", align_items="center"),
        )

    def _parts(self, scale: float) -> list[widgets.Widget]:
        """The children, from the top."""
        limits = limits_here() if self.controls is not None else ""
        said = framed(f'<div class="wb-note">{limits}</div>') if limits else ""
        zoom = f"<style>.{_size_class(scale)} {{ zoom: {float(scale):.2f}; }}</style>"
        # Without a session there is no bar: the place for what stands at its end is beside the
        # steps.
        strip = [] if self.controls is None else [self.controls.widget]
        if self.controls is None:
            self.timeline_slot.children = [*self.timeline_slot.children, self.dock_slot]
        return [
            widgets.HTML(zoom, layout=widgets.Layout(display="none")),
            widgets.HTML(said),
            *strip,
            self.still,
            self.error,
            self.timeline_slot,
            self.preview.note,
            self.tabs,
            SliderNames(),
            stylesheet(),
        ]

    # --------------------------------------------------------------- drawing

    def redraw(self, force: bool = False) -> None:
        """Read what is new and draw the page that is open. Safe from any thread; what goes wrong is
        shown in the page."""
        with self._drawing:
            try:
                if self.controls:  # first: a record that cannot be read stops no one from steering
                    self.controls.shown_step = self.shown_step
                    self.controls.refresh()
                self._redraw(force)
            except Exception as error:
                self._show_error(f"{type(error).__name__}: {error}", traceback.format_exc())

    def glance(self) -> None:
        """Draw what has come of the step in hand, and nothing else. Safe from any thread."""
        with self._drawing:
            if self.controls:
                self.controls.glance()

    def _say_how_it_stands(self) -> None:
        self.stage.follow(self.sources[0], code_of(self))

    def _draw_anew(self) -> None:
        self.redraw(force=True)

    def _redraw(self, force: bool) -> None:
        changed = [source.refresh() for source in self.sources]
        self.steps.follow(self.sources[0].last_step)
        self.timeline.show(self.sources)
        self._stale = self._stale or force or any(changed)
        if self._stale:
            self.view.show(self.preview.instead_of(self.sources), self.shown_step)
            answer_in_the_subshell(self)
            self._stale = False  # only now: what failed is tried again
        if self.controls:
            self.controls.inside.show_last(self.sources[0].metrics)
        self._say_how_it_stands()
        self.saved.follow(self.sources[0].last_step, self.sources[0].status)
        self._show_badge()
        set_if_changed(self.error, "value", "")

    def _show_badge(self) -> None:
        """How many problems and warnings the doctor sees, in the title of its tab."""
        doctor = _page_of(self.views, DoctorView)
        place = self.views.index(doctor)
        title = doctor.count(self.sources, self.shown_step)
        if self.tabs.get_title(place) != title:
            self.tabs.set_title(place, title)

    def _show_error(self, text: str, detail: str) -> None:
        words = f"This page could not be drawn: {safe_text(text, 2000)}"
        trace = f"<pre class='wb-text'>{safe_text(detail, 20_000)}</pre>"
        box = (
            f'<div class="wb-error" role="alert">{words}'
            f"<details><summary>where</summary>{trace}</details></div>"
        )
        set_if_changed(self.error, "value", framed(box))

    @property
    def views(self) -> list[View]:
        """The pages, in the order of their tabs."""
        return list(self.pages.values())

    @property
    def view(self) -> View:
        """The page that is open."""
        return self.views[self.tabs.selected_index or 0]

    @property
    def shown_step(self) -> int | None:
        """The step that the pages show; None follows the newest."""
        return self.steps.chosen if self.sources[0].last_step else None

    def show_step(self, step: int) -> None:
        """Show `step` on every page."""
        self.selection.step = step

    def _step_moved(self) -> None:
        """By the slider, the box of the newest, or the replay."""
        self.selection.step = self.steps.chosen

    def _step_selected(self) -> None:
        """On a page, or by `_step_moved`."""
        step = self.selection.step
        if step != self.steps.chosen:
            self.steps.go_to(step)
        self._draw_anew()

    def _show_tokens(self, row: int) -> None:
        """A completion picked in the groups: open it under the microscope."""
        self._show_completion(_page_of(self.views, GroupsView).step, row)

    def _show_completion(self, step: int | None, row: int) -> None:
        tokens = tokens_of(self)
        tokens.pick(row)
        if step is not None:
            self.selection.step = step
        self.tabs.selected_index = self.views.index(tokens)

    # ------------------------------------------------------------ its place in the page

    def code(self) -> str:
        """The line of code that brings back the page, step, completion and colouring shown now."""
        return code_of(self)

    def dock(self) -> None:
        """Put the dashboard beside the notebook, into a pane of its own (JupyterLab); elsewhere a
        line beside the button says what works there. The one in the cell stays."""
        self.stage.docked = True

    def tour(self) -> None:
        """Lead through the dashboard in six stops, in the page that shows it, as its `?` does.
        Escape ends it; what was shown before is shown again then."""
        self.guide.ask()

    # ----------------------------------------------------------- live sessions

    def follow(self, session: Session) -> None:
        """Put another session in focus (a branch); the runs shown so far stay as the ones compared
        with."""
        with self._drawing:
            # The controls of the run that it branched from are its own.
            controls = self.sources[0].controls
            self.sources = [RunSource(session.run, session, controls), *self.sources]
            self._steer(session)
            # It stands at the step that was chosen, and goes on from it.
            self.steps.follow_newest()
        self._draw_anew()

    def take_up(self, session: Session) -> None:
        """The run in focus was loaded again: `session` trains it from now on."""
        with self._drawing:
            controls = self.sources[0].controls
            self.sources = [RunSource(session.run, session, controls), *self.sources[1:]]
            self._steer(session)
        self._draw_anew()

    def focus_on(self, source: RunSource) -> None:
        """Put another run in focus; the others stay as the ones compared with. The controls go
        along where the run is trained here."""
        with self._drawing:
            others = [one for one in self.sources if one.id != source.id]
            self.sources = [source, *others]
            if source.session is not None and source.session.trainer is not None:
                self._steer(source.session)
        self._draw_anew()

    def _steer(self, session: Session) -> None:
        """From now on controls and publisher are this session's."""
        self.session = session
        if self.controls:
            self.controls.follow(session)
        self.publisher.follow(session)

    def _branch(self, step: int, knobs: Mapping[str, Any]) -> str:
        """A branch that a page asks for: made of the run in focus, and in focus then."""
        if self.session is None:
            raise ValueError("no session is shown that could be branched.")
        child = self.session.branch(f"branch-{step}", from_step=step, **knobs)
        self.follow(child)
        return child.out.name

    def _stand_still(self) -> None:
        show_if(self.still, True)
        if self.controls:
            show_if(self.controls.widget, False)

    def _go_on(self) -> None:
        show_if(self.still, False)
        if self.controls:
            show_if(self.controls.widget, True)
        self.publisher.resume()

    # ----------------------------------------------- where no widget is running

    def picture(self) -> Any:
        """The curves as a still picture (an `IPython.display.SVG`), which stays when the notebook
        is saved."""
        from IPython.display import SVG

        return SVG(self._svg())  # type: ignore[no-untyped-call]  # IPython's is not typed

    def _svg(self) -> str:
        overview = _page_of(self.views, Overview)
        overview.show(self.sources, self.shown_step)
        return overview.picture()

    def _ipython_display_(self) -> None:
        self.saved.display()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and beside it a picture and words for where no widget runs (a saved notebook,
        a web page of it)."""
        data, metadata = mimebundle(self)
        last = self.sources[0].last_step
        names = html.unescape(", ".join(plot_text(source.label, 80) for source in self.sources))
        words = f"Dashboard of {names}, {f'step {last}' if last else 'before its first step'}"
        if not last:
            return data | {"text/plain": words}, metadata
        return with_picture(data, self._svg(), words), metadata

    def close(self) -> None:
        """Stop drawing and give back all widgets of the page; the session goes on. Twice does
        nothing."""
        if hasattr(self, "publisher"):  # a dashboard whose making failed has none
            self.publisher.close()
            self.steps.close()
            close_all([*self.children, self.layout])
        super().close()


def _make_pages(links: Links) -> dict[str, View]:
    return {name: make(links) for name, make in PAGES.items()}


def _page_of(views: list[View], kind: type[Page]) -> Page:
    """The page of this class."""
    return next(view for view in views if isinstance(view, kind))


def _size_class(scale: float) -> str:
    """A CSS class for each size: another dashboard on the page may have another one."""
    return f"wb-scaled-{round(100 * scale)}"


def _source_of(target: Any) -> RunSource:
    return RunSource(target.run, target) if _is_session(target) else RunSource(target)


def _targets(target: Target) -> list[Any]:
    """What to show, one by one. Raises TypeError, ValueError."""
    targets = list(target) if isinstance(target, (list, tuple)) else [target]
    for one in targets:
        if not (_is_session(one) or isinstance(one, (Run, str, Path))):
            raise TypeError(
                f"Dashboard({reprlib.repr(target)}): {reprlib.repr(one)} is a "
                f"{type(one).__name__}. Give a Session, a Run, the path of a run, or a list of "
                "these."
            )
    if not targets:
        raise ValueError(
            "Dashboard([]): there is no run in the list. Give a Session, a Run, the path of a run, "
            "or a list of these."
        )
    return targets


def _is_session(target: Any) -> bool:
    return hasattr(target, "subscribe") and hasattr(target, "run")
