"""The stream of kinds: their shares on top of one another over the steps, with knob changes and the
fork marked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.tasks import behaviours
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import BLUE, GREEN, ORANGE, PINK
from workbench.widgets.behaviours.kinds import HACKED
from workbench.widgets.overview.markers import knob_lines
from workbench.widgets.plots import Chart
from workbench.widgets.plots.pieces import (
    GREY,
    Strip,
    make_chart,
    marker,
    over_steps,
    plot_text,
    stack,
    step_range,
)

COLOURS_OF = {
    behaviours.RIGHT: BLUE,
    behaviours.UNTAGGED: GREEN,
    behaviours.CARRY: PINK,
    behaviours.PRECEDENCE: GREY,
    behaviours.WRONG: GREY,
    behaviours.NO_ANSWER: GREY,
    HACKED: ORANGE,
}
"""The patterns tell apart what has one colour."""

NOTHING = "no completions were kept"


def stream(
    source: RunSource,
    steps: Sequence[int],
    share_of: Mapping[str, np.ndarray],
    interval: tuple[int, int] | None,
    step: int | None,
) -> Chart:
    """The shares of the kinds at the steps that were read; `step` is marked."""
    first, last = interval or (1, max(source.last_step, 1))
    named = {plot_text(kind, 40): values for kind, values in share_of.items()}
    colours = {plot_text(kind, 40): COLOURS_OF[kind] for kind in share_of if kind in COLOURS_OF}
    areas = stack(np.array(steps), named, colours=colours, template="%{y:.0%}") if steps else []
    marks = knob_lines([source], source.last_step)
    meta = source.run.meta
    if meta.branch_step is not None:
        said = f"step {meta.branch_step}: branched from {plot_text(meta.parent_name or '', 32)}"
        marks.append(marker(meta.branch_step + 0.5, colour=PINK, dash="dashdot", text=said))
    if step is not None:
        marks.append(marker(step, dash="solid"))
    chart = make_chart(
        "behaviours",
        "share of each kind of completion; click a band for examples",
        areas,
        x_range=step_range(first, last),
        strip=Strip(marks, []),
        y={"tickformat": ".0%", "range": [0, 1]},
        note="" if steps else NOTHING,
    )
    # A run with one kind alone has its name beside it, too.
    chart["layout"]["showlegend"] = bool(areas)
    return over_steps(chart, first, last)
