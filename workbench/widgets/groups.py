"""The group view: each prompt of a step with its G completions, their rewards, advantages and what there is to say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as w
import numpy as np

from workbench.runs import RunRecordError
from workbench.widgets.group_table import FILTERS, SORTS, TOTAL, GroupTable, chosen, right_by
from workbench.widgets.groups_html import GROUPS_CSS, Look, group_html
from workbench.widgets.guarded import Guarded, put, show_if
from workbench.widgets.source import RunSource
from workbench.widgets.step_chooser import StepChooser
from workbench.widgets.style import framed
from workbench.widgets.text import safe_text

GROUPS_AT_ONCE, COMPLETIONS_AT_ONCE, CHARACTERS_AT_ONCE = 8, 64, 80_000
"""What a page holds at most: so many groups, and of large groups or long texts fewer, down to one."""
LENGTHS = (300, 1200, 4000)
"""Characters of a completion that can be shown."""


class GroupsView(Guarded):
    """The tab "Groups". `on_pick(row)` is called when a person wants to see a completion's tokens; `step` says of which step."""

    title = "Groups"

    def __init__(self, on_pick: Callable[[int], None] = lambda row: None) -> None:
        super().__init__()
        self.on_pick = on_pick
        self._source: RunSource | None = None
        self._table: GroupTable | None = None
        self._drawn: object = None
        self._page = 0
        self.steps = StepChooser(self, self._read)
        self._make_controls()
        self.summary = w.HTML()
        self.cards = [_Card(self._look_at_tokens) for _ in range(GROUPS_AT_ONCE)]
        wrap = w.Layout(flex_flow="row wrap", align_items="center")
        self.widget = w.VBox([
            w.HTML(framed(f"<style>{GROUPS_CSS}</style>")), self.steps.widget,
            w.HBox([self.search, self.keep, self.by, self.matching_only], layout=wrap),
            w.HBox([self.sort, self.smallest_first, self.length], layout=wrap),
            self.message, self.summary, w.HBox([self.previous, self.next], layout=wrap), *(card.widget for card in self.cards)])
        self._empty("No run is shown yet.")

    def _make_controls(self) -> None:
        style = {"description_width": "60px"}
        self.search = w.Text(placeholder="text, then Enter", description="search", continuous_update=False,
                             layout=w.Layout(width="300px"), style=style)
        self.keep = w.Dropdown(options=list(FILTERS), description="show", layout=w.Layout(width="290px"), style=style)
        self.by = w.Dropdown(options=[TOTAL], description="right by", layout=w.Layout(width="260px"), style=style)
        self.matching_only = w.Checkbox(value=False, description="matching completions only", indent=False,
                                        layout=w.Layout(width="210px"))
        self.sort = w.Dropdown(options=list(SORTS), description="sort by", layout=w.Layout(width="240px"), style=style)
        self.smallest_first = w.Checkbox(value=False, description="smallest first", indent=False, layout=w.Layout(width="130px"))
        self.length = w.Dropdown(options=[(f"{n:,} characters", n) for n in LENGTHS], value=LENGTHS[0], description="texts up to",
                                 layout=w.Layout(width="250px"), style={"description_width": "80px"})
        self.previous = w.Button(description="‹ previous groups", layout=w.Layout(width="150px"))
        self.next = w.Button(description="next groups ›", layout=w.Layout(width="150px"))
        for control in (self.search, self.keep, self.by, self.matching_only, self.sort, self.smallest_first, self.length):
            self.answer(control, self._from_first)
        self.previous.on_click(lambda _: self.guarded(self._move, -1))
        self.next.on_click(lambda _: self.guarded(self._move, 1))

    # ------------------------------------------------------------------------------------------- what others call

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the first run at `step` (None = its newest), or at the step that was chosen here."""
        self.guarded(self._show, sources, step)

    @property
    def step(self) -> int | None:
        """The step shown; None before the first."""
        return self.steps.step

    # ------------------------------------------------------------------------------------------------ what it does

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        self._source = sources[0] if sources else None
        last = self._source.last_step if self._source else 0
        self.steps.offer(step or last or None, last)
        if self._drawn is None or self._key() != self._drawn:
            self._read()

    def _key(self) -> object:
        """What tells one reading from another: the run, how often it was cut back, the step."""
        if self._source is None or self.step is None:
            return None
        return self._source.run.path, self._source.run.position()[0], self.step

    def _read(self) -> None:
        """Read the step and draw it; say in words why there is nothing to draw."""
        self._drawn, self._table, key = None, None, self._key()
        if self._source is None or self.step is None:
            self._empty("No run is shown yet." if self._source is None else "No step yet. The first one appears here when it is done.")
            return
        try:
            samples = self._source.run.samples(self.step)
        except RunRecordError as missing:
            self._empty(str(missing))
            return
        if not len(samples):
            self._empty(f"The completions of step {self.step} were not kept.")
        else:
            self._table = GroupTable.of(samples, self._source.run.config_at(self.step))
            self._offer_rewards(list(self._table.rewards))
            self._from_first()
        self._drawn = key

    def _offer_rewards(self, names: list[str]) -> None:
        if (*names, TOTAL) != self.by.options:
            with self.filling():
                self.by.options = (*names, TOTAL)
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
            table, self.sort.value, self.smallest_first.value, self.keep.value, self.by.value, self.search.value)
        size = self._groups_at_once(table)
        shown = numbers[self._page * size : (self._page + 1) * size].tolist()
        look = Look(self.search.value, self.length.value, float(np.nanmax(abs(table.advantage_NG), initial=0.0)), self.by.value)
        everything = np.ones(table.G, bool)
        with self.filling():
            for card, n in zip(self.cards, [*shown, *[None] * (len(self.cards) - len(shown))], strict=True):
                card.draw(table, n, matching_NG[n] if n is not None and self.matching_only.value else everything, look)
        self._show_summary(table, len(numbers), int(matching_NG.sum()), shown, size)
        self.settled()

    def _groups_at_once(self, table: GroupTable) -> int:
        longest = max(map(len, table.completion_NG.flat))
        characters = table.G * min(self.length.value, longest)
        return max(1, min(GROUPS_AT_ONCE, COMPLETIONS_AT_ONCE // table.G, CHARACTERS_AT_ONCE // max(characters, 1)))

    def _show_summary(self, table: GroupTable, found: int, matching: int, shown: list[int], size: int) -> None:
        first = self._page * size
        baseline = table.config.get("advantage_baseline", "group")
        lines = [
            f"<b>Step {self.step}</b>: {len(table)} groups of {table.G} completions; {int(table.dead_N.sum())} dead, "
            f"{int(table.truncated_NG.sum())} completions truncated, {int(table.right(self.by.value)[0].sum())} right "
            f"({safe_text(self.by.value, 60)} above 0).",
            f"{found} groups with {matching} matching completions"
            + (f"; shown are {first + 1} to {first + len(shown)}." if shown else ". Change the search or the filter."),
        ]
        if baseline != "group":
            lines.append(f"advantage_baseline='{baseline}': the advantages were not taken from the group mean that stands as baseline.")
        put(self.summary, "value", f'<div class="wb" role="status">{"<br>".join(lines)}</div>')
        put(self.previous, "disabled", self._page == 0)
        put(self.next, "disabled", first + size >= found)
        for button in (self.previous, self.next):
            show_if(button, found > size)

    def _empty(self, text: str) -> None:
        put(self.summary, "value", f'<div class="wb"><div class="wb-note" role="status">{safe_text(text)}</div></div>')
        for part in (self.previous, self.next, *(card.widget for card in self.cards)):
            show_if(part, False)
        self.settled()

    def _look_at_tokens(self, row: int) -> None:
        with self._lock:
            if self._filling:
                return
        try:  # not under the lock: what the listener draws may be waiting for it
            self.on_pick(row)
        except Exception as error:
            self.fail(error)


class _Card:
    """One group: its HTML and a button per completion. Cards are made once and filled again and again."""

    def __init__(self, pick: Callable[[int], None]) -> None:
        self._pick = pick
        self.html = w.HTML()
        self.buttons = w.ToggleButtons(options=[], value=None, description="look at tokens of row",
                                       style={"description_width": "150px", "button_width": "56px"})
        self.buttons.observe(self._clicked, "value")
        self.widget = w.VBox([self.html, self.buttons])

    def draw(self, table: GroupTable, n: int | None, rows_G: np.ndarray, look: Look) -> None:
        """Show group `n`, of it the completions for which `rows_G` is True; None = nothing."""
        show_if(self.widget, n is not None)
        if n is None:
            return
        put(self.html, "value", group_html(table, n, rows_G, look))
        rows = (np.flatnonzero(rows_G) + n * table.G).tolist()
        options = tuple((str(row), row) for row in rows)
        if options != self.buttons.options:
            with self.buttons.hold_sync():
                self.buttons.options = options
                self.buttons.tooltips = [f"Look at the tokens of row {row}" for row in rows]
                self.buttons.value = None

    def _clicked(self, change: dict[str, int | None]) -> None:
        row = change["new"]
        if row is not None:
            self._pick(row)
            self.buttons.value = None  # so that a second click on the same button counts
