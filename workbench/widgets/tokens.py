"""The token microscope: one completion as coloured tokens, or two side by side, with the exact values of each token."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as w

from workbench.runs import RunRecordError
from workbench.widgets.figures import figure
from workbench.widgets.guarded import Guarded, put, show_if
from workbench.widgets.source import RunSource
from workbench.widgets.step_chooser import StepChooser
from workbench.widgets.style import framed
from workbench.widgets.text import safe_text
from workbench.widgets.token_html import TOKENS_CSS, legend, pane, panes, table
from workbench.widgets.token_row import QUANTITIES, TokenRow, token_row
from workbench.widgets.token_scales import Scale, scale_of
from workbench.widgets.token_step import Pieces, TokenStep, TokenSteps

NONE = -1
"""The row that stands for no second completion."""
PAGE, TABLE_PAGE = 4096, 200
"""Tokens drawn at once; with the table of exact values."""


class TokensView(Guarded):
    """The tab "Tokens". `pick(row)` shows a completion; `row`, `beside` and `quantity` say what is shown."""

    title = "Tokens"

    def __init__(self) -> None:
        super().__init__()
        self._source: RunSource | None = None
        self._steps = TokenSteps()
        self._drawn: object = None
        self._first, self._wanted = 0, NONE
        self.steps = StepChooser(self, self._redraw)
        self._make_controls()
        self.legend, self.body = w.HTML(), w.HTML()
        self.widget = w.VBox([
            w.HTML(framed(f"<style>{TOKENS_CSS}</style>")), self.steps.widget,
            w.HBox([self.quantity_menu, self.table_box], layout=_wrap()),
            w.HBox([self.previous, self.row_menu, self.next, self.beside_menu], layout=_wrap()),
            self.message, self.legend, w.HBox([self.earlier, self.later, self.range], layout=_wrap()), self.body])
        self._empty("No run is shown yet.")

    def _make_controls(self) -> None:
        wide, style = w.Layout(width="420px", max_width="100%"), {"description_width": "80px"}
        self.quantity_menu = w.Dropdown(options=[(q.label, name) for name, q in QUANTITIES.items()], value="advantage",
                                        description="colour by", layout=w.Layout(width="260px"), style=style)
        self.table_box = w.Checkbox(value=False, description="table of exact values", indent=False, layout=w.Layout(width="200px"))
        self.row_menu = w.Dropdown(options=[], description="completion", layout=wide, style=style)
        self.beside_menu = w.Dropdown(options=[("none", NONE)], value=NONE, description="beside it", layout=wide, style=style)
        self.previous = _button("‹ previous", "The completion before")
        self.next = _button("next ›", "The completion after")
        self.earlier = _button("‹ earlier tokens", "The tokens before these", "130px")
        self.later = _button("later tokens ›", "The tokens after these", "130px")
        self.range = w.HTML()
        for control in (self.quantity_menu, self.row_menu, self.beside_menu, self.table_box):
            self.answer(control, self._from_first)
        self.previous.on_click(lambda _: self.guarded(self._move_row, -1))
        self.next.on_click(lambda _: self.guarded(self._move_row, 1))
        self.earlier.on_click(lambda _: self.guarded(self._move_page, -1))
        self.later.on_click(lambda _: self.guarded(self._move_page, 1))

    # ------------------------------------------------------------------------------------------- what others call

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the first run at `step` (None = its newest), or at the step that was chosen here."""
        self.guarded(self._show, sources, step)

    def pick(self, row: int, step: int | None = None) -> None:
        """Show completion `row`: of `step`, where the view then stays, or of the step that it shows anyway.

        Before the first `show` the wish is kept. A row that is not there is an error, shown in the view.
        """
        self.guarded(self._pick, row, step)

    @property
    def row(self) -> int | None:
        """The completion shown; None when there is none."""
        return self.row_menu.value

    @property
    def step(self) -> int | None:
        """The step shown; None before the first."""
        return self.steps.step

    # ------------------------------------------------------------------------------------------------ what it does

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        self._source = sources[0] if sources else None
        last = self._source.last_step if self._source else 0
        self.steps.offer(step or last or None, last)
        if self._key() != self._drawn or self._drawn is None:
            self._redraw()

    def _pick(self, row: int, step: int | None) -> None:
        self._wanted = row
        if step is not None:
            self.steps.go_to(step)
        self._from_first()

    def _move_row(self, by: int) -> None:
        if self.row_menu.index is None:
            return
        with self.filling():
            self.row_menu.index = min(max(self.row_menu.index + by, 0), len(self.row_menu.options) - 1)
        self._from_first()

    def _move_page(self, by: int) -> None:
        self._first = max(self._first + by * self._page, 0)
        self._redraw()

    @property
    def _page(self) -> int:
        return TABLE_PAGE if self.table_box.value else PAGE

    def _from_first(self) -> None:
        self._first = 0
        self._redraw()

    def _key(self) -> object:
        return None if self._source is None or self.step is None else self._steps.key(self._source, self.step)

    def _read(self) -> TokenStep | None:
        """The step to show; None, with the reason in the view, when there is nothing to show."""
        if self._source is None or self.step is None:
            self._empty("No run is shown yet." if self._source is None else "No step yet. The first one appears here when it is done.")
            return None
        try:
            return self._steps.read(self._source, self.step)
        except RunRecordError as missing:
            self._empty(str(missing))
            return None

    def _redraw(self) -> None:
        self._drawn = None  # after an error the next call draws again
        key, found = self._key(), self._read()
        if found is not None:
            self._fill_menus(found)
            self._draw(found)
        self._drawn = key
        self.settled()

    def _fill_menus(self, found: TokenStep) -> None:
        """Offer the completions of this step; the rows that were chosen stay chosen. Raises IndexError for a wrong wish."""
        rows, beside = len(found), self.beside_menu.value
        row, self._wanted = self._wanted if self._wanted != NONE else self.row_menu.value or 0, NONE
        if not 0 <= row < rows and row != self.row_menu.value:
            raise IndexError(f"row {row} is not in step {found.step}, which has rows 0 to {rows - 1}.")
        options = tuple((found.label(i), i) for i in range(rows))
        with self.filling():
            _offer(self.row_menu, options, min(row, rows - 1))
            _offer(self.beside_menu, (("none", NONE), *options), beside if beside < rows else NONE)

    def _draw(self, found: TokenStep) -> None:
        assert self._source is not None
        chosen = [row for row in (self.row_menu.value, self.beside_menu.value) if row != NONE]
        rows = [token_row(found.batch, row) for row in chosen]
        pieces = self._steps.pieces(self._source, {i for row in rows for i in row.ids_T.tolist()})
        name, longest = self.quantity_menu.value, max(len(row.ids_T) for row in rows)
        part = slice(self._first, self._first + self._page)
        whole_step = name == "advantage"  # one number per completion: only the step gives it a scale
        scale = scale_of(QUANTITIES[name], [found.batch["advantages_B"]] if whole_step else [row.values[name] for row in rows])
        drawn = [self._one(found, row, name, scale, pieces, part) for row in rows]
        put(self.body, "value", _inside(panes(drawn)))
        put(self.legend, "value", _inside(f'<div class="wb-tokens">{legend(name, scale, "this step" if whole_step else "the tokens shown")}</div>'))
        self._show_range(part, longest)
        put(self.previous, "disabled", self.row_menu.index == 0)
        put(self.next, "disabled", self.row_menu.index == len(found) - 1)

    def _one(self, found: TokenStep, row: TokenRow, name: str, scale: Scale, pieces: Pieces, part: slice) -> str:
        below = table(row, pieces, part) if self.table_box.value else ""
        return pane(row, name, scale, pieces, part, heading(found, row), below)

    def _show_range(self, part: slice, longest: int) -> None:
        several = longest > self._page
        for button in (self.earlier, self.later):
            show_if(button, several)
        put(self.earlier, "disabled", part.start == 0)
        put(self.later, "disabled", part.stop >= longest)
        put(self.range, "value", _inside(f"tokens {part.start} to {min(part.stop, longest) - 1} of {longest}") if several else "")

    def _empty(self, text: str) -> None:
        put(self.body, "value", _inside(f'<div class="wb-note" role="status">{safe_text(text)}</div>'))
        put(self.legend, "value", "")
        for button in (self.earlier, self.later):
            show_if(button, False)
        put(self.range, "value", "")


def heading(found: TokenStep, row: TokenRow) -> str:
    """What the completion is: its prompt and gold answer, what it got, how it ended."""
    s, x = found.samples.iloc[row.row], row.inputs
    gold = "none" if s["gold_answer"] is None else safe_text(str(s["gold_answer"]), 200)
    names = [c for c in found.samples.columns if c.startswith("rewards/")]
    parts = ", ".join(f"{safe_text(n.removeprefix('rewards/'), 60)} {figure(s[n])}" for n in names)
    end = "truncated: no end token" if s["truncated"] else "ended by itself"
    dead = " · dead group: all its rewards are equal" if s["dead"] else ""
    return (
        f'<div><b>Step {found.step}, row {row.row}</b> (group {s["group"]}) · reward {figure(s["reward"])} ({parts}) · baseline '
        f'{figure(s["baseline"], missing="none")} · advantage {figure(s["advantage"], "+.4g")} · {len(row.ids_T)} tokens, {end}{dead} · last used in update '
        f'{x.update} of {x.updates}</div><div>prompt: <span class="wb-text">{safe_text(s["prompt"], 400)}</span></div>'
        f'<div>gold answer: <span class="wb-text">{gold}</span></div>')


def _offer(menu: w.Dropdown, options: tuple[tuple[str, int], ...], value: int) -> None:
    """New options with one of them chosen, as one message."""
    with menu.hold_sync():
        put(menu, "options", options)
        put(menu, "value", value)


def _inside(inner: str) -> str:
    return f'<div class="wb">{inner}</div>'


def _wrap() -> w.Layout:
    return w.Layout(flex_flow="row wrap", align_items="center")


def _button(text: str, tip: str, width: str = "100px") -> w.Button:
    return w.Button(description=text, tooltip=tip, layout=w.Layout(width=width))
