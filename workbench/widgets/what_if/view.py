"""What if: a kept step under other settings, beside what really happened. Needs no model; needs
torch for the arithmetic."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from workbench.errors import WorkbenchError
from workbench.runs import RunRecordError
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if, stylesheet
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import BLUE, ORANGE, framed
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch, say_when_loading
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.tokens.box import TokenBox
from workbench.widgets.what_if import words
from workbench.widgets.what_if.controls import WhatIfControls
from workbench.widgets.what_if.tokens import tokens

if TYPE_CHECKING:
    from workbench.widgets.what_if.comparison import Comparison, Outcome
    from workbench.widgets.what_if.kept_batch import KeptBatch

NEEDS_TORCH = needs_torch("What-if")
NO_STEP = "No step yet: there is something to ask about after the first one."


class WhatIfView(Guarded):
    """The view `What if` of the dashboard. `comparison` is what stands on the screen, None while
    there is nothing.

    What was changed stays changed when another step is shown; everything else follows the settings
    of that step. A setting that cannot be is refused in words while the last picture stays.
    """

    title = "What if"

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Any, ...] | None = None
        self._stored: dict[str, Any] = {}
        self._pieces: dict[int, str] = {}
        self._kept: KeptBatch | None = None
        self._happened: Outcome | None = None
        self._recorded_loss: float | None = None
        self.comparison: Comparison | None = None
        self.controls = WhatIfControls(self._changed)
        self.head, self.result, self.tokens = widgets.HTML(), widgets.HTML(), TokenBox()
        self.plot = LivePlot(columns=1, height=260)
        self.row = widgets.Dropdown(
            options=[("none yet", None)],
            description="completion",
            style={"description_width": "90px"},
            layout={"width": "420px"},
        )
        self.answer(self.row, self._draw_tokens)
        controls = widgets.VBox(
            [self.controls.widget], layout={"flex": "1 1 620px", "max_width": "660px"}
        )
        picture = widgets.VBox(
            [self.result, self.plot, self.row, self.tokens],
            layout={"flex": "1 1 400px", "min_width": "340px"},
        )
        self.body = widgets.HBox([controls, picture], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([stylesheet(), self.head, self.message, self.body])
        self._leave("No run yet.")

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
        self._offer_rows()
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
        left_out = "".join(
            f"<li>{html.escape(s)}</li>" for s in words.notes(c, self._recorded_loss)
        )
        set_if_changed(
            self.result,
            "value",
            framed(
                f"<div role='status'>{said}</div>{words.table(c)}<ul class='wb-dim'>{left_out}</ul>"
            ),
        )
        self.plot.show([advantages_chart(c)])
        self._draw_tokens()

    def _draw_tokens(self) -> None:
        if self.comparison is not None and self.row.value is not None:
            row = int(self.row.value)
            ids = self._stored["ids_BT"][row, : self._stored["lengths_B"][row]].tolist()
            self.tokens.show(*tokens(self.comparison, row, ids, self._pieces))

    def _offer_rows(self) -> None:
        """The completions to choose from; the row chosen before stays chosen where the step has one
        like it."""
        assert self._kept is not None
        G, before = self._kept.config.num_generations, self.row.value
        options = [
            (f"{b}: group {b // G}, reward {number_text(float(r))}", b)
            for b, r in enumerate(self._stored["reward_B"])
        ]
        with self.filling():
            self.row.options = options
            self.row.value = (
                before if before is not None and before < len(options) else self._kept.row_to_show
            )

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


def advantages_chart(c: Comparison) -> dict[str, Any]:
    """The advantage of each completion, as it was and as it would have been, group by group."""
    x = ((np.arange(len(c.happened.advantages_B)) + 0.5) / c.kept.config.num_generations).astype(
        np.float32
    )
    marks = {
        "happened": {"color": BLUE, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
        "what if": {"color": ORANGE, "size": 7, "symbol": "x"},
    }
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": x,
            "y": o.advantages_B.astype(np.float32),
            "marker": marks[name],
            "line": {"color": marks[name]["color"], "width": 0},
        }
        for name, o in (("happened", c.happened), ("what if", c.what_if))
    ]
    layout = {
        "xaxis": {"title": {"text": "group; each mark is one completion"}},
        "yaxis": {"title": {"text": "advantage"}},
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.2},
        "margin": {"l": 60, "r": 12, "t": 30, "b": 48},
        "meta": {"title": "advantage per completion", "summary": words.advantages_summary(c)},
    }
    return {"data": data, "layout": layout}


def _loss_of(source: RunSource, step: int) -> float | None:
    """The loss that the record has for a step; None where it has none."""
    metrics = source.metrics
    if "loss" not in metrics:
        return None
    found = metrics.loc[metrics["step"] == step, "loss"]
    return float(found.iloc[0]) if len(found) else None
