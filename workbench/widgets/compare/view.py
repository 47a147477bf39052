"""The page "Compare": the runs of the dashboard and their branches side by side, the map of the
forks, and from a node of it the way back (rewind, branch, focus)."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.doctor.finding import quoted
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.steering import why_not_steered
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.compare import words
from workbench.widgets.compare.charts import Shown, charts
from workbench.widgets.compare.chips import Chips
from workbench.widgets.compare.family import Member, family, found_beside
from workbench.widgets.compare.fork_map import ForkMap
from workbench.widgets.plots.liveplot import LivePlot

if TYPE_CHECKING:
    from workbench.training.session import Session

NO_RUN = "No run is shown yet."
ALONE = (
    "This run stands alone: nothing branched from it, and no other run was given. Branch it (in "
    "the bar above, or at a node of the map below), or give several: Dashboard([run, other])."
)
COMPARE_CSS = (Path(__file__).parent / "compare.css").read_text(encoding="utf-8")


class CompareView(Guarded):
    """A page of the dashboard. `show_step`, `focus` and `follow` lead a person on: to a step, to
    another run, to a branch that was made here."""

    title = "Compare"

    def __init__(
        self,
        show_step: Callable[[int], None] = lambda step: None,
        focus: Callable[[RunSource], None] = lambda source: None,
        follow: Callable[[Session], None] = lambda session: None,
    ) -> None:
        super().__init__()
        self._show_step = show_step
        self._focus = focus
        self._follow = follow
        self._ids: tuple[str, ...] = ()
        self._beside: list[RunSource] = []
        self.members: list[Member] = []
        self._drawn: object = None
        self.chips = Chips(lambda: self.guarded(self._draw), self._focus_on)
        self.axis = widgets.ToggleButtons(
            options=[("steps", False), ("steps since the fork", True)],
            value=False,
            description="x axis",
            style={"button_width": "auto", "description_width": "60px"},
        ).add_class("wb-inline")
        self.answer(self.axis, self._draw)
        self.map = ForkMap()
        self.map.observe(lambda _: self.guarded(self._offer), "chosen")
        self.node = widgets.HTML()
        self.buttons = self._make_buttons()
        self.acts = widgets.HBox(
            [self.node, *self.buttons.values()],
            layout={"flex_flow": "row wrap", "align_items": "center"},
        )
        self.verdict = widgets.HTML()
        self.plots = LivePlot(label="the runs side by side", columns=2, height=210)
        self.tables = widgets.HTML()
        parts = [self.chips.widget, self.map, self.acts, self.verdict]
        parts += [self.axis, self.plots, self.tables]
        self.body = widgets.VBox(parts).add_class("wb-compare")
        self.alone = widgets.HTML()
        self.widget = widgets.VBox([stylesheet(COMPARE_CSS), self.message, self.alone, self.body])
        self._empty(NO_RUN)

    def _make_buttons(self) -> dict[str, widgets.Button]:
        acts = {
            "show": ("Show", "Show this step on every page", self._go_to),
            "rewind": (
                "Rewind",
                "Go back to this step; the steps after it leave the record",
                self._rewind,
            ),
            "branch": ("Branch", "A new run from this step, with the pending knobs", self._branch),
        }
        made = {}
        for name, (text, tip, act) in acts.items():
            made[name] = widgets.Button(
                description=text, tooltip=tip, layout={"width": "auto"}, disabled=True
            )
            made[name].on_click(lambda _, act=act: self._led_on(act))
        return made

    # --------------------------------------------------------------- drawing

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the runs; the first one is the one in focus."""
        self.guarded(self._show, sources)

    def _show(self, sources: Sequence[RunSource]) -> None:
        if not sources:
            return self._empty(NO_RUN)
        ids = tuple(source.id for source in sources)
        if ids != self._ids:
            # Looked for once: the records beside are not read again at every step.
            self._beside = found_beside(sources)
            self._ids = ids
        self.members = family(sources, self._beside)
        self._draw()
        self.settled()
        return None

    def _empty(self, why: str) -> None:
        self.members = []
        set_if_changed(self.alone, "value", framed(f"<p class='wb-note'>{html.escape(why)}</p>"))
        show_if(self.body, False)

    @property
    def focus(self) -> Member:
        """The run in focus."""
        return next(member for member in self.members if member.id == self._ids[0])

    def shown(self) -> Shown:
        """What the charts show: the runs with an open eye, held against the parent of the one in
        focus, else against the one in focus."""
        focus = self.focus
        visible = [member for member in self.members if member.id in self.chips.open_ids]
        parents = [member for member in visible if member.place == focus.parent]
        since = (focus.fork or 0) if self.axis.value else 0
        return Shown(visible, focus, parents[0] if parents else focus, since)

    def _draw(self) -> None:
        if not self.members:
            return
        alone = len(self.members) == 1
        note = f"<p class='wb-note'>{html.escape(ALONE)}</p>" if alone else ""
        set_if_changed(self.alone, "value", framed(note))
        show_if(self.body, True)
        focus = self.focus
        opened = {m.id for m in self.members if m.given or m.place == focus.parent}
        self.chips.show(self.members, focus, opened)
        self.map.show(self.members, focus)
        shown = self.shown()
        show_if(self.axis, focus.fork is not None)
        for part in (self.chips.widget, self.plots):
            show_if(part, not alone)
        set_if_changed(self.verdict, "value", framed(words.verdicts(shown)))
        if not alone:
            self.plots.show(charts(shown))
        self._draw_tables(shown)
        self._offer()

    def _draw_tables(self, shown: Shown) -> None:
        sources = [member.source for member in shown.members]
        drawn = [(source.id, len(source.knobs)) for source in sources]
        if drawn == self._drawn:
            return  # settings do not change but by a knob, and reading them all takes a while
        self._drawn = drawn
        settings = words.section("Settings that differ", words.settings_table(sources), opened=True)
        knobs = words.section("Knob history", words.knob_table(sources), opened=True)
        inner = settings + knobs if len(sources) > 1 else knobs
        set_if_changed(self.tables, "value", framed(inner))

    # -------------------------------------------------------- from a node on

    def _node(self) -> tuple[Member, int] | None:
        """The node that was chosen; None where the map has it no more."""
        place = self.map.chosen.get("run")
        step = self.map.chosen.get("step")
        if not isinstance(place, int) or not isinstance(step, int):
            return None
        if not 0 <= place < len(self.members):
            return None
        member = self.members[place]
        return (member, step) if 0 <= step <= member.source.last_step else None

    def _offer(self) -> None:
        """Say which node is chosen, and what can be done from there."""
        found = self._node()
        for button in self.buttons.values():
            show_if(button, found is not None)
        if found is None:
            hint = "Choose a node of the map to go back to it, or to branch from it."
            return set_if_changed(self.node, "value", framed(f"<span class='wb-dim'>{hint}</span>"))
        member, step = found
        source = member.source
        why_not = why_not_steered(source)
        is_end = step == source.last_step
        told = why_not or " ".join(self._what_they_do(source, step))
        label = safe_text(source.label, 60)
        text = f"<b>{label}</b>, step {step}. <span class='wb-dim'>{safe_text(told, 400)}</span>"
        set_if_changed(self.node, "value", framed(text))
        set_if_changed(self.buttons["show"], "description", f"Show step {step}")
        set_if_changed(self.buttons["rewind"], "description", f"Rewind to {step}")
        set_if_changed(self.buttons["branch"], "description", f"Branch from {step}")
        set_if_changed(self.buttons["show"], "disabled", step < 1)
        set_if_changed(self.buttons["branch"], "disabled", why_not != "")
        set_if_changed(self.buttons["rewind"], "disabled", why_not != "" or is_end)
        return None

    @staticmethod
    def _what_they_do(source: RunSource, step: int) -> list[str]:
        """What Rewind and Branch would do at this step, exactly."""
        last = source.last_step
        gone = f"step {last}" if last == step + 1 else f"steps {step + 1} to {last}"
        rewind = f"Rewind goes back there: {gone} of this run leave the record."
        if step == last:
            rewind = "The run stands here, so there is nothing to rewind."
        pending = {} if source.session is None else source.session.pending
        knobs = ", ".join(f"{name} {quoted(value)}" for name, value in pending.items())
        knobs = f" and its pending knobs ({knobs})" if knobs else ""
        name = quoted(_name_of_branch(source, step))
        branch = (
            f"Branch makes the run {name} from this state{knobs}; this one keeps all its steps."
        )
        return [rewind, branch]

    def _led_on(self, act: Callable[[], None]) -> None:
        """Outside the view's lock: whoever is called may draw this view while another thread waits
        to."""
        try:
            act()
        except Exception as error:  # a front end would drop it
            self.fail(error)
        else:
            self.settled()

    def _focus_on(self, run_id: str) -> None:
        sources = {member.id: member.source for member in self.members}
        if run_id in sources:
            self._led_on(lambda: self._focus(sources[run_id]))

    def _go_to(self) -> None:
        found = self._node()
        if found is not None:
            member, step = found
            if member is not self.focus:
                self._focus(member.source)
            self._show_step(step)

    def _rewind(self) -> None:
        found = self._node()
        session = self._session_of(found)
        if found is not None and session is not None:
            session.rewind(found[1])

    def _branch(self) -> None:
        found = self._node()
        session = self._session_of(found)
        if found is not None and session is not None:
            name = _name_of_branch(found[0].source, found[1])
            child = session.branch(name, from_step=found[1], **session.pending)
            self._follow(child)

    @staticmethod
    def _session_of(found: tuple[Member, int] | None) -> Any:
        return None if found is None else found[0].source.session


def _name_of_branch(source: RunSource, step: int) -> str:
    return f"{menu_text(source.run.path.parent.name, 60)}-from-{step}"
