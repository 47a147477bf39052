"""The group view: each prompt of a step with its G completions, their rewards, advantages and what
there is to say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets
import numpy as np

from workbench.runs import RunRecordError
from workbench.widgets.base.guarded import set_if_changed, show_if, stylesheet
from workbench.widgets.base.labelled import in_a_row, labelled_menu, tick_box
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.step_view import NO_RUN, StepView
from workbench.widgets.base.stretch import Stretch, StretchChip
from workbench.widgets.base.text import safe_text
from workbench.widgets.groups.box import NO_ROW, GroupBox
from workbench.widgets.groups.markup import GROUPS_CSS, Look, dead_strip, group_html
from workbench.widgets.groups.table import (
    FILTERS,
    SORTS,
    SPREAD,
    TOTAL,
    GroupTable,
    chosen,
    right_by,
)
from workbench.widgets.influence.matrix import INFLUENCE_CSS
from workbench.widgets.influence.part import InfluencePart
from workbench.widgets.mass.part import MassPart

GROUPS_AT_ONCE, COMPLETIONS_AT_ONCE, CHARACTERS_AT_ONCE = 8, 64, 80_000
"""What a page holds at most: so many groups, and of large groups or long texts fewer, down to
one."""
STRIP_CHARACTERS = 20_000
"""Of HTML, behind the chips of the dead groups of a page."""
STRETCH_FIGURES = (
    ("mean reward", "reward"),
    ("share of dead groups", "dead_group_share"),
    ("mean length", "completion_length"),
)
"""What is said of a stretch of steps -> the record's name of it."""
LENGTHS = (300, 1200, 4000)
"""Characters of a completion that can be shown."""


class GroupsView(StepView):
    """The tab "Groups". `on_pick(row)` is called when a person wants to see a completion's tokens;
    `step` says of which step.

    Equal completions of a group stand once, with their number. Groups that teach nothing, since
    all their rewards are equal, stand in one line at the end, where each can be opened. Where a
    stretch of steps is chosen, only those can be shown.
    """

    title = "Groups"
    KEPT = "samples"

    def __init__(
        self,
        on_pick: Callable[[int], None] = lambda row: None,
        selection: Selection | None = None,
        stretch: Stretch | None = None,
    ) -> None:
        super().__init__(selection)
        self.stretch = StretchChip(stretch or Stretch())
        self.on_pick = on_pick
        self._table: GroupTable | None = None
        self._page = 0
        self._make_controls()
        self.summary = widgets.HTML()
        self.influence = InfluencePart(stay_at=self.steps.go_to)
        self.mass = MassPart(self.steps.go_to, self._look_at_tokens)
        self.box = GroupBox()
        self.box.observe(lambda change: self._look_at_tokens(change["new"][0]), "picked")
        self.selection.observe(lambda change: self._mark_selected(), "row")
        self.widget = widgets.VBox(
            [
                stylesheet(GROUPS_CSS, INFLUENCE_CSS),
                in_a_row(self.steps.widget, self.keep, self.sort, self.smallest_first, self.search),
                in_a_row(
                    self.by,
                    self.length,
                    self.matching_only,
                    self.previous,
                    self.next,
                    self.stretch.widget,
                ),
                self.message,
                self.summary,
                self.mass.widget,
                self.box,
                self.influence.widget,
            ]
        )
        self.draw_empty(NO_RUN)

    def _make_controls(self) -> None:
        self.search = widgets.Text(
            placeholder="text, then Enter",
            description="search",
            continuous_update=False,
            layout=widgets.Layout(width="230px"),
            style={"description_width": "50px"},
        )
        self.keep = labelled_menu("show", FILTERS, "230px", "44px")
        self.by = labelled_menu("right by", [TOTAL], "220px", "60px")
        self.matching_only = tick_box("matching completions only", "210px")
        self.sort = labelled_menu("sort by", SORTS, "200px", "54px", value=SPREAD)
        self.smallest_first = tick_box("smallest first", "130px")
        lengths = [(f"{n:,} characters", n) for n in LENGTHS]
        self.length = labelled_menu("texts up to", lengths, "220px", "76px", value=LENGTHS[0])
        self.previous = widgets.Button(
            description="‹ previous groups", layout=widgets.Layout(width="150px")
        )
        self.next = widgets.Button(
            description="next groups ›", layout=widgets.Layout(width="150px")
        )
        for control in (
            self.search,
            self.keep,
            self.by,
            self.matching_only,
            self.sort,
            self.smallest_first,
            self.length,
        ):
            self.answer(control, self._from_first)
        self.previous.on_click(lambda _: self.guarded(self._move, -1))
        self.next.on_click(lambda _: self.guarded(self._move, 1))

    @property
    def key(self) -> object:
        """With another stretch there is something else to say of the same step."""
        step = super().key
        return None if step is None else (step, self.stretch.chosen)

    def _offer(self, step: int | None, last: int, kept: Sequence[int]) -> None:
        """Only steps of the stretch: the dashboard's own, or the one that is kept nearest to it."""
        self.stretch.draw()
        within = None if self.source is None else self.stretch.steps_of(self.source)
        if within is None or step is None:
            super()._offer(step, last, kept)
            return
        first, last = within
        here = [one for one in kept if first <= one <= last]
        nearest = min(here, key=lambda one: abs(one - step), default=first)
        chosen = step if first <= step <= last else nearest
        self.steps.offer(chosen, last, here, first)

    def draw_step(self, source: RunSource, step: int) -> None:
        """Read the groups of a step and draw the first page of them."""
        self._table = None
        samples = source.run.samples(step)
        if not len(samples):
            # As for what raises: with the way to the steps that were kept.
            raise RunRecordError(f"The completions of step {step} were not kept.")
        self._table = GroupTable.of(samples, source.run.config_at(step), source.opened)
        self.influence.follow(source, step)
        self.mass.follow(source, step)
        self._offer_rewards(list(self._table.rewards))
        self._from_first()

    def draw_empty(self, why: str) -> None:
        """Show no group, and why."""
        self._table = None
        self.influence.follow(None, None)
        self.mass.follow(None, None)
        note = f'<div class="wb-note" role="status">{safe_text(why)}</div>'
        set_if_changed(self.summary, "value", f'<div class="wb">{note}</div>')
        set_if_changed(self.box, "html", "")
        for part in (self.previous, self.next, self.length):
            show_if(part, False)

    def _offer_rewards(self, names: list[str]) -> None:
        # Only for other functions: new options would undo what a person has chosen.
        options = (*names, TOTAL)
        if options != self.by.options:
            with self.filling():
                self.by.options = options
                self.by.value = right_by(names)

    def _from_first(self) -> None:
        self._page = 0
        self._draw()

    def _move(self, by: int) -> None:
        self._page = max(self._page + by, 0)
        self._draw()

    def _draw(self) -> None:
        table = self._table
        if table is None:
            return
        numbers, matching_NG = chosen(
            table,
            self.sort.value,
            self.smallest_first.value,
            self.keep.value,
            self.by.value,
            self.search.value,
        )
        live, dead = self._folded_away(table, numbers)
        size = self._groups_at_once(table)
        first = self._page * size
        shown = live[first : first + size].tolist()
        # The largest of the whole step, so that bars of two groups can be compared.
        largest = float(np.nanmax(abs(table.advantage_NG), initial=0.0))
        look = Look(self.search.value, self.length.value, largest, self.by.value, opens=True)
        everything = np.ones(table.G, bool)
        only_matching = self.matching_only.value
        parts = [
            group_html(table, n, matching_NG[n] if only_matching else everything, look)
            for n in shown
        ]
        if len(dead):
            parts.append(dead_strip(table, dead.tolist(), look, STRIP_CHARACTERS))
        set_if_changed(self.box, "html", "".join(parts))
        self._show_summary(table, live, dead, int(matching_NG.sum()), shown, size)
        self.settled()

    def _folded_away(self, table: GroupTable, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the groups to draw, those that go into the strip): the ones that teach nothing, unless
        nothing else is left or somebody asked for them."""
        silent_N = table.dead_N.astype(bool) & ~table.advantage_NG.astype(bool).any(1)
        silent = silent_N[numbers]
        asked = self.keep.value == "dead groups only" or self.search.value
        if asked or silent.all():
            return numbers, numbers[:0]
        return numbers[~silent], numbers[silent]

    def _groups_at_once(self, table: GroupTable) -> int:
        # What a page can hold is a matter of its text: large groups and long texts leave fewer.
        longest = max(map(len, table.completion_NG.flat))
        characters = table.G * min(self.length.value, longest)
        by_completions = COMPLETIONS_AT_ONCE // table.G
        by_characters = CHARACTERS_AT_ONCE // max(characters, 1)
        return int(max(1, min(GROUPS_AT_ONCE, by_completions, by_characters)))

    def _show_summary(
        self,
        table: GroupTable,
        live: np.ndarray,
        dead_ones: np.ndarray,
        matching: int,
        shown: list[int],
        size: int,
    ) -> None:
        first = self._page * size
        found = len(live) + len(dead_ones)
        baseline = table.config.get("advantage_baseline", "group")
        dead = int(table.dead_N.sum())
        truncated = int(table.truncated_NG.sum())
        is_right_NG = table.right(self.by.value)[0]
        right = int(is_right_NG.sum())
        what_follows = ". Change the search or the filter."
        if shown:
            what_follows = f"; shown are {first + 1} to {first + len(shown)}"
            what_follows += f", and {len(dead_ones)} in one line." if len(dead_ones) else "."
        lines = [
            f"<b>Step {self.step}</b>: {len(table)} groups of {table.G} completions; "
            f"{dead} dead, {truncated} completions truncated, "
            f"{right} right ({safe_text(self.by.value, 60)} above 0).",
            f"{found} groups with {matching} matching completions{what_follows}",
        ]
        if baseline != "group":
            lines.append(
                f"advantage_baseline='{baseline}': the advantages were not taken from the group "
                "mean that stands as baseline."
            )
        lines += self._stretch_words()
        text = "<br>".join(lines)
        set_if_changed(self.summary, "value", f'<div class="wb" role="status">{text}</div>')
        set_if_changed(self.previous, "disabled", self._page == 0)
        set_if_changed(self.next, "disabled", first + size >= len(live))
        for button in (self.previous, self.next):
            show_if(button, len(live) > size)
        show_if(self.length, True)

    def _stretch_words(self) -> list[str]:
        """What the steps of the stretch are like together."""
        within = None if self.source is None else self.stretch.steps_of(self.source)
        if within is None or self.source is None:
            return []
        first, last = within
        rows = self.source.metrics[self.source.metrics["step"].between(first, last)]
        kept = [step for step in self.source.kept_steps(self.KEPT) if first <= step <= last]
        means = [
            f"{words} {number_text(float(rows[name].mean()), '.3g')}"
            for words, name in STRETCH_FIGURES
            if name in rows and rows[name].notna().any()
        ]
        counts = f"{len(rows)} steps, the completions of {len(kept)} kept"
        return [f"<b>Steps {first} to {last}</b>: {'; '.join([counts, *means])}."]

    def _look_at_tokens(self, row: int) -> None:
        if row == NO_ROW:
            return
        try:  # not under the lock: what the listener draws may be waiting for it
            self.on_pick(row)
        except Exception as error:
            self.fail(error)

    def _mark_selected(self) -> None:
        row = self.selection.row
        set_if_changed(self.box, "selected", NO_ROW if row is None else row)
