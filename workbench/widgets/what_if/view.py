"""What if: a kept step under other settings, beside what really happened. Needs no model; needs
torch for the arithmetic."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from workbench.errors import WorkbenchError
from workbench.runs import RunRecordError
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch, say_when_loading
from workbench.widgets.by_hand.chart import HandChart
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.tokens.box import NOT_LOCKED, TokenBox
from workbench.widgets.tokens.pieces import piece_of
from workbench.widgets.what_if import charts, words
from workbench.widgets.what_if.controls import WhatIfControls
from workbench.widgets.what_if.formula_markup import FORMULA_CSS, formula_html
from workbench.widgets.what_if.tokens import tokens

if TYPE_CHECKING:
    from workbench.widgets.what_if.comparison import Comparison, Outcome
    from workbench.widgets.what_if.kept_batch import KeptBatch

NEEDS_TORCH = needs_torch("What-if")
WHAT_IF_CSS = FORMULA_CSS + (Path(__file__).parent / "what_if.css").read_text(encoding="utf-8")
RATIO_LEGEND = (
    "<p class='wb-dim'>Drag a line. Grey: all tokens (the axis counts in powers of ten); orange: "
    "those that are clipped, beyond the line that their advantage moves them to.</p>"
)
NO_STEP = "No step yet: there is something to ask about after the first one."


class WhatIfView(Guarded):
    """The view `What if` of the dashboard. `comparison` is what stands on the screen, None while
    there is nothing.

    What was changed stays changed when another step is shown; everything else follows the settings
    of that step. A setting that cannot be is refused in words while the last picture stays.
    """

    title = "What if"

    def __init__(self, selection: Selection | None = None) -> None:
        super().__init__()
        self.selection = selection or Selection()
        self._shown: tuple[Any, ...] | None = None
        self._stored: dict[str, Any] = {}
        self._pieces: dict[int, str] = {}
        self._kept: KeptBatch | None = None
        self._happened: Outcome | None = None
        self._recorded_loss: float | None = None
        self.comparison: Comparison | None = None
        self.controls = WhatIfControls(self._changed)
        self.head = widgets.HTML()
        self.result = widgets.HTML()
        self.figures = widgets.HTML()
        self.formula = widgets.HTML()
        self.listed = widgets.HTML()
        self.tokens = TokenBox()
        self.tokens.observe(lambda _: self.guarded(self._draw_formula), "locked")
        self.ratios = HandChart(self._line_moved, label="ratios of the tokens", height=230)
        self.legend = widgets.HTML()
        self.plot = LivePlot(columns=1, height=230)
        self.row = widgets.Dropdown(
            options=[("none yet", None)],
            description="completion",
            style={"description_width": "90px"},
            layout={"width": "380px", "max_width": "100%"},
        )
        self.answer(self.row, self._row_chosen)
        self.row.observe(self._share_row, "value")
        self.selection.observe(lambda _: self.guarded(self._follow_selection), "row")
        self.body = self._laid_out()
        self.widget = widgets.VBox([stylesheet(WHAT_IF_CSS), self.head, self.message, self.body])
        self._leave("No run yet.")

    def _laid_out(self) -> widgets.Widget:
        """The question on the left, its answer on the right."""
        question = widgets.VBox([self.controls.widget], layout={"flex": "0 0 292px"})
        parts = [
            self.result,
            self.ratios,
            self.legend,
            self.plot,
            self.listed,
            self.row,
            self.tokens,
            self.formula,
            self.figures,
        ]
        answer = widgets.VBox(parts, layout={"flex": "1 1 400px", "min_width": "0"})
        return widgets.HBox([question, answer]).add_class("wb-what-if")

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Compute the step of the first run again, with what was changed so far on top. None = its
        newest step."""
        with self._lock:
            if not sources:
                return self._leave("No run yet.")
            step = sources[0].last_step if step is None else step
            if step < 1:
                return self._leave(NO_STEP)
            key = (sources[0], sources[0].run.position()[0], step)
            if key != self._shown:
                self.guarded(self._load, sources[0], step, key)
                show_if(
                    self.body, self._shown == key
                )  # after an error there is no picture of this step
        return None

    # --------------------------------------------------------- what is shown

    def _load(self, source: RunSource, step: int, key: tuple[Any, ...]) -> None:
        """Read a step and draw it. What stands in the way is said in the place of the picture."""
        self._shown = None
        say_when_loading(self._leave)
        try:
            from workbench.widgets.what_if import comparison as what_if
            from workbench.widgets.what_if import kept_batch
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            return self._leave(NEEDS_TORCH)
        try:
            self._stored = source.run.batch(step)
            self._kept = kept_batch.KeptBatch.of(self._stored)
            self._happened = what_if.outcome(self._kept, self._kept.config)
        except (RunRecordError, WorkbenchError, ValueError) as error:
            return self._leave(f"Nothing to ask about at step {step}: {error}")
        self._recorded_loss, self._pieces, self._shown = (
            _loss_of(source, step),
            source.run.vocab(),
            key,
        )
        self.comparison = what_if.Comparison(self._kept, self._happened, self._happened)
        set_if_changed(
            self.head,
            "value",
            framed(
                f"<b>Step {step} of {html.escape(source.label)}</b>: {words.size_of(self._kept)}. "
                "Policy and record stay as they are."
            ),
        )
        self.controls.follow(self._kept.config.to_dict())
        self.tokens.locked = NOT_LOCKED
        return self._compare()

    def _leave(self, why: str) -> None:
        """Show no picture, and why."""
        self._shown = self._kept = self._happened = self.comparison = None
        self.settled()
        set_if_changed(self.head, "value", framed(f"<p role='status'>{html.escape(why)}</p>"))
        show_if(self.body, False)

    def _changed(self) -> None:
        """A person moved a control."""
        with self._lock:
            if self._kept is not None:
                self.guarded(self._compare)

    def _compare(self) -> None:
        """Compute the what-if and draw; a refused one leaves the last picture."""
        from workbench.widgets.what_if.comparison import Comparison, outcome

        assert self._kept is not None
        assert self._happened is not None
        try:
            config, warned = self._kept.changed(self.controls.changes)
            self.comparison = Comparison(self._kept, self._happened, outcome(self._kept, config))
        except (WorkbenchError, ValueError) as error:
            self._say(
                f"{error}\nThe picture below is the last one that could be computed.", "error"
            )
        else:
            self._say("\n".join(warned), "note")
        self._draw()

    def _draw(self) -> None:
        c = self.comparison
        assert c is not None
        said = "".join(f"<p>{html.escape(s)}</p>" for s in words.sentences(c))
        set_if_changed(self.result, "value", framed(f"<div role='status'>{said}</div>"))
        left_out = "".join(
            f"<li>{html.escape(s)}</li>" for s in words.notes(c, self._recorded_loss)
        )
        notes = f"<ul class='wb-dim'>{left_out}</ul>"
        set_if_changed(self.figures, "value", framed(words.table(c) + notes))
        self._offer_rows()
        self._draw_row()

    def _draw_chart(self) -> None:
        """The one that the question asks for."""
        c = self.comparison
        assert c is not None
        question = self.controls.question.value
        of_ratios = question in ("clip", "loss")
        show_if(self.ratios, of_ratios)
        show_if(self.legend, of_ratios)
        show_if(self.plot, not of_ratios)
        if of_ratios:
            self.ratios.show(*charts.ratio_picture(c))
            set_if_changed(self.legend, "value", framed(RATIO_LEGEND))
        elif question == "kl" and self.row.value is not None:
            self.plot.show([charts.kl_chart(c, int(self.row.value))])
        else:
            self.plot.show([charts.advantages_chart(c)])

    def _line_moved(self, values: dict[str, float]) -> None:
        """A person dragged a line of the clip."""
        with self._lock:
            if self.comparison is not None:
                asked = charts.asked_by(values, self.comparison.what_if.config)
                self.guarded(self.controls.ask, asked)

    def _share_row(self, change: dict[str, Any]) -> None:
        """A person chose a completion here: the other pages show it, too."""
        if not self._filling and change["new"] is not None:
            self.selection.row = change["new"]

    def _follow_selection(self) -> None:
        """A completion was chosen on another page, and is one of those listed here."""
        row = self.selection.row
        listed = [value for _, value in self.row.options]
        if self.comparison is None or row == self.row.value or row not in listed:
            return
        with self.filling():
            self.row.value = row
        self._row_chosen()

    def _row_chosen(self) -> None:
        self.tokens.locked = NOT_LOCKED
        self._draw_row()

    def _draw_row(self) -> None:
        """All that is of one completion."""
        c = self.comparison
        if c is None or self.row.value is None:
            return
        row = int(self.row.value)
        ids = self._stored["ids_BT"][row, : self._stored["lengths_B"][row]].tolist()
        self.tokens.show(*tokens(c, row, ids, self._pieces))
        self._draw_chart()
        self._draw_formula()

    def _draw_formula(self) -> None:
        """The loss of the token that was clicked; until one is, of the one that changes most."""
        c = self.comparison
        if c is None or self.row.value is None:
            return
        row = int(self.row.value)
        markup = formulas_html(c, row, self._position(c, row), self._pieces, self._stored["ids_BT"])
        set_if_changed(self.formula, "value", framed(markup))

    def _position(self, c: Comparison, row: int) -> int | None:
        """The token whose loss is written; None where none of the completion is counted."""
        counted = np.flatnonzero(c.kept.counted_BT[row].numpy())
        if not len(counted):
            return None
        locked = self.tokens.locked[1]
        if locked < 0 and self.selection.row == row and self.selection.token is not None:
            locked = self.selection.token  # held on the page of tokens
        if locked in counted:
            return int(locked)
        change_T = np.abs(c.what_if.gradient_BT[row] - c.happened.gradient_BT[row])
        if not change_T.any():
            change_T = np.abs(c.happened.ratio_BT[row] - 1)
        return int(counted[change_T[counted].argmax()])

    def _offer_rows(self) -> None:
        """The completions that change, or all where nothing is asked yet; the row chosen before
        stays chosen where it is among them."""
        c = self.comparison
        assert c is not None
        group_size = c.kept.config.num_generations
        before = self.row.value if self.selection.row is None else self.selection.row
        changed = c.changed_rows
        shown = list(changed) if c.changes and changed else range(len(self._stored["reward_B"]))
        options = []
        for b in shown:
            reward = number_text(float(self._stored["reward_B"][b]))
            change = f", {changed[b]} tokens change" if b in changed else ""
            options.append((f"{b}: group {b // group_size}, reward {reward}{change}", b))
        most = max(changed, key=lambda b: changed[b], default=c.kept.row_to_show)
        with self.filling():
            if list(self.row.options) != options:
                self.row.options = options
            self.row.value = before if before in shown else most
        set_if_changed(self.listed, "value", framed(f"<p>{words.changed_rows(c)}</p>"))

    def _say(self, text: str, kind: str) -> None:
        role, lines = (
            "alert" if kind == "error" else "status",
            html.escape(text).replace("\n", "<br>"),
        )
        set_if_changed(
            self.message,
            "value",
            framed(f"<div class='wb-{kind}' role='{role}'>{lines}</div>") if text else "",
        )


def _loss_of(source: RunSource, step: int) -> float | None:
    """The loss that the record has for a step; None where it has none."""
    metrics = source.metrics
    if "loss" not in metrics:
        return None
    found = metrics.loc[metrics["step"] == step, "loss"]
    return float(found.iloc[0]) if len(found) else None


def formulas_html(
    c: Comparison, row: int, position: int | None, pieces: Mapping[int, str], ids_BT: np.ndarray
) -> str:
    """The loss of a token as it was, and under it as it would have been."""
    from workbench.widgets.what_if.formula import token_formula, update_terms

    if position is None:
        return ""
    token = int(ids_BT[row, position])
    name = piece_of(token, pieces.get(token)).shown
    asked = {"happened": c.happened.config}
    if c.changes:
        asked["what if"] = c.what_if.config
    parts = [
        f"<h3>The loss of token {position}, <span class='wb-text wb-code'>{name}</span></h3>"
        "<p class='wb-dim'>Click another token to see its own. Under each symbol stands this "
        "token's number; the framed branch of the minimum decides.</p>"
    ]
    for title, config in asked.items():
        found = token_formula(update_terms(c.kept, config, row), row, position)
        parts.append(f"<h4>{title}</h4>{formula_html(found)}")
    return "".join(parts)
