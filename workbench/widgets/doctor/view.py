"""The doctor's page: what is going on in a run, in words, and what can be done about it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from workbench.doctor import Finding, diagnose
from workbench.doctor.finding import Branch, Show, quoted
from workbench.errors import WorkbenchError
from workbench.widgets.base.diagnoses import Diagnoses, shown_step
from workbench.widgets.base.guarded import Guarded, error_html, set_if_changed, show_if, stylesheet
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.steering import why_not_steered
from workbench.widgets.base.stretch import Stretch, StretchChip
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.doctor.cards import Cards
from workbench.widgets.doctor.completions import completions_html
from workbench.widgets.doctor.markup import (
    DOCTOR_CSS,
    act_text,
    badge_of,
    button_html,
    cards_html,
    note_html,
)

RUNS_AT_ONCE = 4
NOT_IN_FOCUS = "Another run is in focus: open this one's dashboard to branch it."

BranchRun = Callable[[int, Mapping[str, Any]], str]
"""Makes a branch of the run in focus from a step with some knobs, and says its name."""


class DoctorView(Guarded):
    """The tab "Doctor": the findings of `workbench.doctor` as cards. Without any run or step it
    says so.

    `title` carries a badge of problems and warnings; `count` keeps it up to date while another page
    is open. `on_branch(step, knobs)` makes a branch of the run in focus, `on_pick(step, row)` opens
    a completion's tokens. Without the first, branches cannot be asked for. Where a stretch is
    chosen, the cards are of those steps alone; the badge is of the whole run.
    """

    title = "Doctor"

    def __init__(
        self,
        on_branch: BranchRun | None = None,
        on_pick: Callable[[int, int], None] = lambda step, row: None,
        stretch: Stretch | None = None,
        diagnoses: Diagnoses | None = None,
    ) -> None:
        """diagnoses: shared with the others who show findings of the same runs."""
        super().__init__()
        self.stretch = StretchChip(stretch or Stretch())
        self._diagnoses = diagnoses or Diagnoses()
        self._on_branch = on_branch
        self._on_pick = on_pick
        self._sources: list[RunSource] = []
        self._step: int | None = None
        self._acts: dict[str, tuple[int, Branch | Show]] = {}
        self._opened: set[str] = set()
        self.said = widgets.HTML(layout=widgets.Layout(display="none"))
        self.cards = Cards()
        self.cards.observe(lambda change: self._asked(change["new"][0]), "asked")
        self.widget = widgets.VBox(
            [
                stylesheet(DOCTOR_CSS),
                self.message,
                self.stretch.widget,
                self.said,
                self.cards,
            ]
        )
        self.show([], None)

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the findings of the runs (the first is in focus) as of `step`; None = each one's
        newest."""
        self.guarded(self._show, sources, step)

    def fail(self, error: BaseException) -> None:
        """Show an error, and no findings that may be out of date."""
        super().fail(error)
        self.cards.draw("")

    def count(self, sources: Sequence[RunSource], step: int | None) -> str:
        """The title with its badge, counted anew where that is due."""
        with self._lock:
            if sources:
                self._keep_badge(self._diagnoses.of(sources[0], step))
            return self.title

    def _keep_badge(self, findings: Sequence[Finding]) -> None:
        badge = badge_of(findings)
        self.title = f"{type(self).title} {badge}" if badge else type(self).title

    # --------------------------------------------------------------- drawing

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        self._sources = list(sources)
        self._step = step
        self._acts = {}
        self.stretch.draw()
        parts = [self._run_html(place) for place in range(min(len(sources), RUNS_AT_ONCE))]
        if len(sources) > RUNS_AT_ONCE:
            parts.append(note_html(f"Shown are the first {RUNS_AT_ONCE} of {len(sources)} runs."))
        self.cards.draw("".join(parts) or note_html("No run is shown yet."))
        self.settled()

    def _run_html(self, place: int) -> str:
        source = self._sources[place]
        shown = shown_step(source, self._step)
        since = 1
        chosen = self.stretch.chosen
        stretch = self.stretch.steps_of(source)
        if chosen is not None and stretch is None:
            return note_html(f"{source.label} has none of the steps {chosen[0]} to {chosen[1]}.")
        if stretch is None:
            findings = self._diagnoses.anew(source, self._step)
            if place == 0:
                self._keep_badge(findings)
        else:
            since, shown = stretch
            findings = diagnose(source, shown, since)
        return cards_html(
            source,
            findings,
            shown,
            since=since,
            several=len(self._sources) > 1,
            acts_of=lambda finding: self._acts_html(place, finding),
        )

    def _acts_html(self, place: int, finding: Finding) -> str:
        """The buttons of a finding, the reason where one cannot be pressed, and what is opened."""
        buttons = ""
        below = ""
        why = ""
        for number, act in enumerate(finding.acts):
            key = f"{place}/{finding.key}/{number}"
            self._acts[key] = (place, act)
            if isinstance(act, Branch):
                refused = self._why_no_branch(place)
                why = refused
                buttons += button_html(key, act_text(act), refused=refused)
                continue
            is_open = key in self._opened
            buttons += button_html(key, act_text(act), opened=is_open)
            if is_open:
                below += completions_html(self._sources[place], act, key)
        if not buttons:
            return ""
        reason = f"<span class='wb-why'>{safe_text(why, 400)}</span>" if why else ""
        return f"<div class='wb-acts'>{buttons}{reason}</div>{below}"

    def _why_no_branch(self, place: int) -> str:
        """Why the run cannot be branched from here; '' where it can."""
        why_not = why_not_steered(self._sources[place])
        if why_not:
            return why_not
        return "" if place == 0 and self._on_branch is not None else NOT_IN_FOCUS

    # ----------------------------------------------------------------- acting

    def _asked(self, key: str) -> None:
        """A button was pressed. Outside the view's lock: what follows may draw this page while
        another thread waits to."""
        try:
            self._act(key)
        except WorkbenchError as error:
            words = safe_text(str(error), 800)
            self._tell(f"<div class='wb-error' role='alert'>{words}</div>")
        except Exception as error:  # a front end would drop it
            self._tell(error_html(error))

    def _act(self, key: str) -> None:
        first, _, tokens = key.partition("/tokens/")
        known = self._acts.get(first)
        # The finding may have gone with the step that was made meanwhile.
        if known is None:
            return
        place, act = known
        if tokens:
            step, row = (int(part) for part in tokens.split("/"))
            self._on_pick(step, row)
        elif isinstance(act, Show):
            self._opened ^= {first}
            self.show(self._sources, self._step)
        elif not self._why_no_branch(place):
            self._branch(act)

    def _branch(self, act: Branch) -> None:
        if self._on_branch is None:
            return
        knobs = ", ".join(f"{name} {quoted(value)}" for name, value in act.knobs.items())
        self._say(f"Branching from step {act.step} …")
        name = self._on_branch(act.step, act.knobs)
        self._say(
            f"{quoted(name)} is in focus now: the run as it was after step {act.step}, with "
            f"{knobs}. It rests; Start trains it."
        )

    def _say(self, words: str) -> None:
        self._tell(note_html(words))

    def _tell(self, html: str) -> None:
        set_if_changed(self.said, "value", framed(html))
        show_if(self.said, True)
