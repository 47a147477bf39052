"""The token microscope: one completion as coloured tokens, or two side by side, with the values of
each token."""

from __future__ import annotations

import ipywidgets as widgets

from workbench.influence.mass_file import Mass, stored_mass
from workbench.widgets.base.guarded import set_if_changed, show_if, stylesheet
from workbench.widgets.base.labelled import labelled_menu, tick_box
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.step_view import NO_RUN, StepView
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.base.torch_on_demand import (
    is_torch_missing,
    needs_torch,
    say_when_loading,
)
from workbench.widgets.fork_here.markup import FORK_CSS
from workbench.widgets.fork_here.part import ForkPart
from workbench.widgets.tokens.box import TokenBox
from workbench.widgets.tokens.heading import heading, question, readings, template_part
from workbench.widgets.tokens.legend import legend, table
from workbench.widgets.tokens.markup import known, page, pane
from workbench.widgets.tokens.prompt import Prompts
from workbench.widgets.tokens.row import QUANTITIES, TokenRow, token_row
from workbench.widgets.tokens.scales import Scale, scale_of
from workbench.widgets.tokens.step import Pieces, TokenStep, TokenSteps
from workbench.widgets.tokens.strip_part import StripPart
from workbench.widgets.what_if.formula_markup import FORMULA_CSS
from workbench.widgets.what_if.locked_loss import LockedLoss

NEEDS_TORCH = needs_torch("The token microscope")
NONE, OPPOSITE = -1, -2
"""Beside the completion: no second one; the one of its group whose advantage is farthest from its
own."""
BESIDE = (("nothing", NONE), ("the best or worst of its group", OPPOSITE))
PAGE, TABLE_PAGE = 4096, 200
"""Tokens drawn at once; with the table of values."""


class TokensView(StepView):
    """The tab "Tokens". `pick(row)` shows a completion; `row`, `beside` and `quantity_menu` say
    what is shown.

    Until a completion is chosen, here or on another page, it opens each step on the most telling
    one, beside the opposite of the same group.
    """

    title = "Tokens"
    KEPT = "tokens"

    def __init__(self, selection: Selection | None = None) -> None:
        super().__init__(selection)
        self._steps = TokenSteps()
        self._first = 0
        self._wanted: int | None = None
        self._prompts = Prompts()
        self._make_controls()
        self.legend = widgets.HTML()
        self.prompt = widgets.HTML()
        self.body = TokenBox()
        self.loss = LockedLoss()
        self.fork = ForkPart(stay_at=self.steps.go_to)
        self.body.observe(lambda change: self._hold(*change["new"]), "locked")
        self.body.observe(lambda change: self.guarded(self._follow_lock), "locked")
        self.strip = StripPart(self.steps.go_to)
        what = [self.steps.widget, self.quantity_menu, self.beside_menu]
        which = [self.previous, self.row_menu, self.next, self.telling]
        more = [self.prompt_box, self.table_box]
        pages = [self.earlier, self.later, self.range]
        self.widget = widgets.VBox(
            [
                stylesheet(FORMULA_CSS, FORK_CSS),
                widgets.HBox(what, layout=_wrap()),
                widgets.HBox(which + more, layout=_wrap()),
                self.message,
                self.legend,
                self.prompt,
                widgets.HBox(pages, layout=_wrap()),
                self.body,
                self.fork.widget,
                self.loss.widget,
                self.strip.widget,
            ]
        )
        self.draw_empty(NO_RUN)

    def _make_controls(self) -> None:
        quantities = [(q.label, name) for name, q in QUANTITIES.items()]
        self.quantity_menu = labelled_menu(
            "colour by", quantities, "240px", "74px", value="coefficient"
        )
        self.table_box = tick_box("values as a table", "140px")
        self.prompt_box = tick_box("rendered prompt", "150px")
        self.row_menu = labelled_menu("completion", [], "380px", "74px")
        self.beside_menu = labelled_menu("beside it", BESIDE, "310px", "60px", value=OPPOSITE)
        self.previous = _button("‹", "The completion before", "36px")
        self.next = _button("›", "The completion after", "36px")
        self.telling = _button(
            "most telling",
            "The largest |advantage| of a group that is not dead, and its opposite",
            "110px",
        )
        self.earlier = _button("‹ earlier tokens", "The tokens before these", "130px")
        self.later = _button("later tokens ›", "The tokens after these", "130px")
        self.range = widgets.HTML()
        for control in (self.quantity_menu, self.beside_menu, self.table_box):
            self.answer(control, self._from_first)
        self.answer(self.prompt_box, self._draw_prompt)
        self.row_menu.observe(lambda change: self._row_chosen(change["new"]), "value")
        self.previous.on_click(lambda _: self._move_row(-1))
        self.next.on_click(lambda _: self._move_row(1))
        self.telling.on_click(lambda _: self._most_telling())
        self.earlier.on_click(lambda _: self.guarded(self._move_page, -1))
        self.later.on_click(lambda _: self.guarded(self._move_page, 1))

    # ------------------------------------------------------ what others call

    def pick(self, row: int, step: int | None = None) -> None:
        """Show completion `row` by itself: of `step`, where the view then stays, or of the step
        that it shows anyway.

        Before the first `show` the wish is kept. A row that is not there is an error, shown in the
        view.
        """
        self._wanted = row
        self.guarded(self._alone)
        self.selection.row = row
        if step is None:
            self.guarded(self._from_first)
        else:
            self._first = 0
            self.steps.go_to(step)

    @property
    def row(self) -> int | None:
        """The completion shown; None when there is none."""
        chosen: int | None = self.row_menu.value
        return chosen

    @property
    def picked(self) -> int | None:
        """The completion that a person chose; None while the most telling one is shown."""
        return None if self.selection.row is None else self.row

    @property
    def beside(self) -> int | None:
        """The completion beside it; None when there is none."""
        chosen = self.beside_menu.value
        row = self.row
        if chosen != OPPOSITE:
            return None if chosen == NONE else chosen
        if row is None or self._found is None:
            return None
        return self._found.opposite(row)

    # ---------------------------------------------------------- what it does

    _found: TokenStep | None = None
    """The step that is drawn."""
    _opened = ""
    """What the chat template wrote of each of its answers."""
    _opened_on: RunSource | None = None
    """The imported run for which a quantity was chosen."""
    _mass: Mass | None = None
    """How likely its tokens are after the step, where that was computed."""

    @property
    def key(self) -> object:
        """Another completion, chosen on another page, is another reading."""
        step = super().key
        return None if step is None else (step, self.selection.row)

    def _alone(self) -> None:
        """By itself: the opposite goes, and a second one that a person chose stays."""
        if self.beside_menu.value == OPPOSITE:
            with self.filling():
                self.beside_menu.value = NONE

    # A choice is shared first and drawn then, and shared without the page's lock: whoever hears of
    # it may be drawing.

    def _most_telling(self) -> None:
        self.selection.row = None
        self.guarded(self._beside_its_opposite)

    def _beside_its_opposite(self) -> None:
        with self.filling():
            set_if_changed(self.beside_menu, "value", OPPOSITE)
        self._from_first()

    def _row_chosen(self, row: int | None) -> None:
        if row is not None and not self.is_filling():
            self.selection.row = row
            self.guarded(self._from_first)

    def _move_row(self, by: int) -> None:
        place = self.row_menu.index
        if place is not None:
            last = len(self.row_menu.options) - 1
            self._row_chosen(min(max(place + by, 0), last))

    def _hold(self, pane: int, position: int) -> None:
        """A person holds this token of the first completion, or none."""
        self.selection.token = position if pane == 0 else None

    def _move_page(self, by: int) -> None:
        self._first = max(self._first + by * self._page, 0)
        self.read()

    @property
    def _page(self) -> int:
        return TABLE_PAGE if self.table_box.value else PAGE

    def _from_first(self) -> None:
        self._first = 0
        self.read()

    def draw_step(self, source: RunSource, step: int) -> None:
        """Read a step and draw the completions chosen."""
        # Forgotten first: should the reading fail, nothing of another step may pass for this one.
        self._found = None
        self._mass = None
        say_when_loading(self.draw_empty)
        found = self._steps.read(source, step)
        self._found = found
        self._opened = source.opened
        self._mass = stored_mass(source.run, step)
        self._fill_menus(found)
        shown = [row for row in (self.row, self.beside) if row is not None]
        try:
            rows = [token_row(found.batch, row) for row in shown]
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            self.draw_empty(NEEDS_TORCH)
            return
        self._open_on_what_is_known(source, rows)
        ids = {token_id for row in rows for token_id in row.ids_T.tolist()}
        self._draw(found, rows, self._steps.pieces(source, ids))
        self._draw_prompt()
        self.strip.follow(source, step)

    def _open_on_what_is_known(self, source: RunSource, rows: list[TokenRow]) -> None:
        """An imported run has no push: its first step is coloured by the first quantity that it
        has. What a person chooses stays."""
        if self._opened_on is source or all(row.inputs.settings_known for row in rows):
            return
        self._opened_on = source
        there = [name for name in QUANTITIES if all(name in known(row) for row in rows)]
        if there and self.quantity_menu.value not in there:
            with self.filling():
                self.quantity_menu.value = there[0]

    def _draw_prompt(self) -> None:
        html = ""
        if self.prompt_box.value and self._found is not None and self.source is not None:
            problem = str(self._found.samples["problem_id"].iloc[self.row or 0])
            html = self._prompts.html(self.source, problem)
        set_if_changed(self.prompt, "value", html)

    def _follow_lock(self) -> None:
        """What is said of the token that is locked: its loss with its numbers, and the way to fork
        there."""
        pane, position = self.body.locked
        shown = [row for row in (self.row, self.beside) if row is not None]
        if self.source is None or self.step is None or not 0 <= pane < len(shown):
            self.loss.clear()
            self.fork.follow(self.source if self._found else None, self.step)
            return
        self.loss.show(self.source, self.step, shown[pane], position)
        self.fork.follow(self.source, self.step, (shown[pane], position))

    def _fill_menus(self, found: TokenStep) -> None:
        """Offer the completions of this step; what was chosen stays chosen. Raises IndexError for a
        wrong wish."""
        rows = len(found)
        wanted = self._wanted
        beside = self.beside_menu.value
        # Forgotten even where it is wrong, or the error would come again with every step.
        self._wanted = None
        if wanted is not None and not 0 <= wanted < rows:
            raise IndexError(
                f"row {wanted} is not in step {found.step}, which has rows 0 to {rows - 1}."
            )
        if wanted is None:
            wanted = found.telling_row
            if self.selection.row is not None:
                wanted = min(self.selection.row, rows - 1)
        options = tuple((found.label(i), i) for i in range(rows))
        with self.filling():
            _offer(self.row_menu, options, wanted)
            still_there = beside if beside < rows else NONE
            _offer(self.beside_menu, (*BESIDE, *options), still_there)

    def _draw(self, found: TokenStep, rows: list[TokenRow], pieces: Pieces) -> None:
        name = self.quantity_menu.value
        longest = max(len(row.ids_T) for row in rows)
        part = slice(self._first, self._first + self._page)

        # An advantage is one number per completion: only the step gives it a scale.
        if name == "advantage":
            scale = scale_of(QUANTITIES[name], [found.batch["advantages_B"]])
            scale_words = "this step"
        else:
            scale = scale_of(QUANTITIES[name], [row.values[name] for row in rows])
            scale_words = "the tokens shown"

        # Two completions of one prompt have the question once, above both.
        prompts = {row.row // found.batch["num_generations"] for row in rows}
        shared = len(prompts) == 1
        above = question(found, rows[0].row) if shared else ""
        drawn = [self._one(found, row, name, scale, pieces, part, not shared) for row in rows]
        self.body.show(page(drawn, above), [readings(row, name, part, self._mass) for row in rows])
        self._follow_lock()
        set_if_changed(self.legend, "value", framed(legend(scale, scale_words)))
        self._show_range(part, longest)
        set_if_changed(self.previous, "disabled", self.row_menu.index == 0)
        set_if_changed(self.next, "disabled", self.row_menu.index == len(found) - 1)

    def _one(
        self,
        found: TokenStep,
        row: TokenRow,
        name: str,
        scale: Scale,
        pieces: Pieces,
        part: slice,
        alone: bool,
    ) -> str:
        head = heading(found, row)
        if alone:
            head = question(found, row.row) + head
        if part.start == 0:
            head += template_part(found, row, self._opened)
        values = table(row, pieces, part) if self.table_box.value else ""
        return pane(row, name, scale, pieces, part, head, values)

    def _show_range(self, part: slice, longest: int) -> None:
        several = longest > self._page
        for button in (self.earlier, self.later):
            show_if(button, several)
        set_if_changed(self.earlier, "disabled", part.start == 0)
        set_if_changed(self.later, "disabled", part.stop >= longest)
        words = ""
        if several:
            last = min(part.stop, longest) - 1
            words = framed(f"tokens {part.start} to {last} of {longest}")
        set_if_changed(self.range, "value", words)

    def draw_empty(self, why: str) -> None:
        """Show no completion, and why."""
        self._found = None
        set_if_changed(self.prompt, "value", "")
        self.loss.clear()
        self.fork.follow(None, None)
        self.body.show(f'<div class="wb-note" role="status">{safe_text(why)}</div>')
        set_if_changed(self.legend, "value", "")
        self._show_range(slice(0, self._page), 0)


def _offer(menu: widgets.Dropdown, options: tuple[tuple[str, int], ...], value: int) -> None:
    """New options with one of them chosen, as one message."""
    with menu.hold_sync():
        set_if_changed(menu, "options", options)
        set_if_changed(menu, "value", value)


def _wrap() -> widgets.Layout:
    return widgets.Layout(flex_flow="row wrap", align_items="center")


def _button(text: str, tip: str, width: str) -> widgets.Button:
    return widgets.Button(description=text, tooltip=tip, layout=widgets.Layout(width=width))
