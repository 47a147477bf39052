"""The Overview: how the runs are doing, in one line of words each, a tile for each figure that
matters and ten small plots. Live and stored alike."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np

from workbench.widgets.base.guarded import Guarded, error_html, set_if_changed, show_if, stylesheet
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import DASHES, framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.overview.markers import knob_places
from workbench.widgets.overview.panels import charts
from workbench.widgets.overview.tiles import tiles
from workbench.widgets.plots.liveplot import LivePlot
from workbench.widgets.plots.pieces import look, plot_text
from workbench.widgets.plots.still import draw_svg

NO_STEP = "No step yet. The plots appear here as soon as the first step is recorded."
NO_RUN = "No run to show. Give the dashboard a run, or start one."
COLUMNS = 4
"""Of the plots, at most; a narrower page has fewer."""
PICTURE_COLUMNS = 2
"""Of the still picture, which is as wide as a saved notebook."""
LEAST_HEIGHT = 104
"""Pixels of a plot that can still be read: with it two rows fit under a projector's dashboard."""
SVG_DASH = dict(zip(DASHES, ("", "6 3", "2 2", "6 2 2 2"), strict=True))


class Overview(Guarded):
    """A `View`: a header in words and the panels of `panels.charts`.

    on_pick   called with the step that a person clicked in a plot
    """

    title = "Overview"

    def __init__(self, on_pick: Callable[[int], None] | None = None, *, scale: float = 1.0) -> None:
        super().__init__()
        self._on_pick = on_pick
        self.header = ipywidgets.HTML(framed(headline([])))
        self.plots = LivePlot(
            label="the run, step by step",
            scale=scale,
            columns=COLUMNS,
            least_height=LEAST_HEIGHT,
            linked=True,
        )
        self.plots.observe(self._clicked, "clicked")
        self.widget = ipywidgets.VBox(
            [stylesheet(), self.message, self.header, self.plots],
            layout=ipywidgets.Layout(width="100%"),
        )
        show_if(self.plots, False)

    def show(self, sources: Sequence[RunSource], step: int | None = None) -> None:
        """Draw the runs, with `step` marked unless it is None. What goes wrong is shown above
        them."""
        self.guarded(self._show, sources, step)

    def picture(self) -> str:
        """The plots as one SVG, for the saved notebook."""
        return draw_svg(self.plots.charts, columns=PICTURE_COLUMNS)

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        set_if_changed(self.header, "value", framed(headline(sources, step)))
        drawn = charts(sources, step)
        self.plots.show(drawn)
        show_if(self.plots, bool(drawn))
        self.settled()

    def _clicked(self, change: dict[str, Any]) -> None:
        """Outside the view's lock: whoever is called may draw this view while another thread waits
        to."""
        if self._on_pick is None or not change["new"]:
            return
        try:
            self._on_pick(round(change["new"]["x"]))
        except Exception as error:  # a front end would drop it
            set_if_changed(self.message, "value", framed(error_html(error)))


def headline(sources: Sequence[RunSource], step: int | None = None) -> str:
    """The state of each run in words, and the figures of the one in focus, as HTML."""
    if not sources:
        return _paragraph(NO_RUN)
    empty = _paragraph(NO_STEP) if not any(len(s.metrics) for s in sources) else ""
    alone = len(sources) == 1
    lines = [_run_line(s, None if alone else i, step) for i, s in enumerate(sources)]
    return "".join([*lines, tiles(sources[0], step), empty])


def _run_line(source: RunSource, place: int | None, step: int | None) -> str:
    # The figures of a run alone are its tiles.
    alone = place is None
    numbers = [] if alone else [*_numbers(source, step), _accuracy(source, step)]
    parts = [_fault(source), _method(source), _progress(source, step), *numbers]
    swatch = "" if place is None else line_swatch(place)
    words = f"{swatch}<b>{safe_text(source.label, 80)}</b>: " + " · ".join(
        part for part in parts if part
    )
    return f'<div class="wb-run"><span>{words}</span>{_changes(source)}</div>'


def _method(source: RunSource) -> str:
    """How the run learns, where it is not by GRPO."""
    method = str(source.run.meta.config.get("method", "grpo"))
    return "" if method == "grpo" else f"method {safe_text(method, 40)}"


def _fault(source: RunSource) -> str:
    """That a mistake was put into the run on purpose."""
    fault = source.run.meta.environment.get("fault")
    return "" if fault is None else f"<b>fault injected: {safe_text(str(fault), 60)}</b>"


def _progress(source: RunSource, step: int | None) -> str:
    """'finished at step 120 of 120'; 'failed at step 7 of 120: the reason'."""
    last = source.last_step
    of = f" of {source.planned}" if source.planned is not None and source.planned >= last else ""
    running = "running" if source.live else "open (training elsewhere, or at rest)"
    where = (
        f"{running}, step {last}{of}"
        if source.status == "running"
        else f"{source.status} at step {last}{of}"
    )
    reason = ": " + safe_text(source.reason, 160) if source.reason else ""
    looked_at = f" (shown: step {step})" if step is not None and step != last else ""
    return safe_text(where) + reason + looked_at


def _numbers(source: RunSource, step: int | None) -> list[str]:
    rows = source.metrics if step is None else source.metrics[source.metrics["step"] == step]
    if not len(rows):
        return []
    row = rows.iloc[-1]
    said = [
        ("reward", "reward {:.3f}"),
        ("reward_std", "spread in a group {:.3f}"),
        ("kl", "KL {:.4f}"),
    ]
    return [text.format(row[name]) for name, text in said if name in row and np.isfinite(row[name])]


def _accuracy(source: RunSource, step: int | None) -> str:
    """The newest evaluation up to `step`, with its interval, and what it was before training."""
    rows = (
        source.evaluations
        if step is None
        else source.evaluations[source.evaluations["step"] <= step]
    )
    if not len(rows):
        return ""
    last = rows.iloc[-1]
    interval = f"interval {last.low:.1%} to {last.high:.1%}, " if np.isfinite(last.low) else ""
    first = rows[rows["split"] == last.split].iloc[0]
    before = f"; {first.accuracy:.1%} at step {first.step}" if first.step != last.step else ""
    split = plot_text(last.split.replace("_", "-"))
    return (
        f"{split} accuracy <b>{last.accuracy:.1%}</b> ({interval}n = {last.n}, step "
        f"{last.step}{before})"
    )


def _changes(source: RunSource) -> str:
    """All knob changes, to unfold: a panel has room for a few labels only."""
    if not len(source.knobs):
        return ""
    places = knob_places(source, source.last_step)
    items = "; ".join(f"step {place.step}: {place.text(most=99)}" for place in places)
    count = "1 knob change" if len(source.knobs) == 1 else f"{len(source.knobs)} knob changes"
    return f"<details><summary>{count}, last {places[-1].text()}</summary>{items}</details>"


def line_swatch(place: int) -> str:
    """A short piece of the run's line."""
    style = look(place)
    dash = SVG_DASH[style.dash]
    return (
        f'<svg width="34" height="10" role="img" aria-label="{style.dash} line"><line x1="0" '
        'x2="32" y1="5" y2="5" '
        f'stroke="{style.colour}" stroke-width="3" stroke-dasharray="{dash}"/></svg> '
    )


def _paragraph(words: str) -> str:
    return f'<p class="wb-note">{html.escape(words)}</p>'
