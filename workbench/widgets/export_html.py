"""One self-contained HTML file of runs: curves, groups and the doctor's words, which opens offline
and needs no kernel.

plotly.js is written into the file; a few lines of script let a reader choose a step. All text is
escaped as in the views.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.doctor import report
from workbench.runs import DamagedError, Run
from workbench.widgets.base.source import Control, RunSource, controls_to_show
from workbench.widgets.base.style import CSS
from workbench.widgets.base.text import safe_text
from workbench.widgets.best_paid.markup import BEST_PAID_CSS, summary_of, table_html
from workbench.widgets.best_paid.view import ANSWERS
from workbench.widgets.evaluation.charts import charts as evaluation_charts
from workbench.widgets.evaluation.figures import JUDGES, groupings_of, sampled_of, steps_of
from workbench.widgets.evaluation.markup import (
    EVALUATION_CSS,
    label_table,
    main_table,
    words_html,
)
from workbench.widgets.groups.markup import GROUPS_CSS, Look, group_html
from workbench.widgets.groups.table import GroupTable, right_by
from workbench.widgets.overview.panels import charts
from workbench.widgets.overview.view import headline
from workbench.widgets.plots import Chart

STEPS_SHOWN = 12
"""Steps whose groups are written into the file, spread evenly over the run."""
GROUPS_SHOWN = 8
PAGE_CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def export_html(
    runs: Run | str | Path | list[Run | str | Path],
    out: str | Path,
    *,
    control: Control | None = None,
) -> Path:
    """Write the page of one run, or of several to compare (the first one with its groups), to
    `out`; returns it. `control` is drawn behind the first one, as in `Dashboard`."""
    sources = [RunSource(r) for r in (runs if isinstance(runs, list) else [runs])]
    sources[0].controls = controls_to_show(sources[0].run, control)
    page = [
        _head(sources),
        f'<div class="wb">{headline(sources)}</div>',
        '<div class="panels">',
        *_panels(sources),
        "</div>",
        _evaluation(sources[0]),
        _groups(sources[0]),
        _best_paid(sources[0]),
        *(_doctor(s) for s in sources),
        _settings(sources[0]),
        f"<script>{SCRIPT}</script></body></html>",
    ]
    out = Path(out).absolute()
    out.write_text("\n".join(page).encode("utf-8", "replace").decode(), encoding="utf-8")
    return out


def _head(sources: Sequence[RunSource]) -> str:
    from plotly.offline import get_plotlyjs

    title = safe_text(", ".join(s.label for s in sources), 200)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f"{html.escape(', '.join(s.label for s in sources))}</title>"
        f"<style>{CSS}{GROUPS_CSS}{BEST_PAID_CSS}{EVALUATION_CSS}{PAGE_CSS}</style><script>{get_plotlyjs()}</script></head><body>"
        f"<h1>{title}</h1>"
    )


def _panels(sources: Sequence[RunSource]) -> list[str]:
    return _plots(charts(sources))


def _plots(drawn: Sequence[Chart]) -> list[str]:
    import plotly.graph_objects as go
    import plotly.io as pio

    config = {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["sendChartToCloud"],
    }
    return [
        pio.to_html(go.Figure(f), include_plotlyjs=False, full_html=False, config=config)
        for f in drawn
    ]


def _evaluation(source: RunSource) -> str:
    """Before and after by the strict judge, and the words of both; nothing where no evaluation drew
    samples."""
    frame = sampled_of(source.run)
    if not len(frame):
        return ""
    split = str(frame["split"].iloc[0])
    there = steps_of(frame, split)
    steps = (there[0], there[-1])
    strict = JUDGES[0]
    panels = "".join(_plots(evaluation_charts(source, frame, split, strict, steps)))
    tables = [main_table(frame, split, steps)]
    tables += [
        label_table(frame, split, steps, grouping, strict)
        for grouping in groupings_of(frame, split)
    ]
    return (
        f'<div class="wb"><h2>Evaluation with samples</h2>{words_html(frame, split, steps)}</div>'
        f'<div class="panels">{panels}</div><div class="wb">{"".join(tables)}</div>'
    )


def _groups(source: RunSource) -> str:
    steps = _spread(source.metrics["step"].tolist()) if len(source.metrics) else []
    tables = {}
    damaged = ""
    for step in steps:
        try:
            table = _table(source, step)
        except DamagedError as error:
            damaged += f'<p class="wb-note">{safe_text(str(error), 400)}</p>'
            continue
        if table is not None:
            tables[step] = table
    pages = [(step, _step_groups(source, table)) for step, table in tables.items()]
    if not pages:
        return (
            '<div class="wb"><h2>Groups</h2><p class="wb-note">No completions were kept.</p>'
            f"{damaged}</div>"
        )
    options = "".join(f"<option>{step}</option>" for step, _ in pages)
    bodies = "".join(
        f'<div class="step" data-step="{step}" hidden>{body}</div>' for step, body in pages
    )
    most = max(map(len, tables.values()))
    part = (
        f'<p class="wb-note">This file holds the groups of {len(pages)} of {len(source.metrics)} '
        "steps, and of each step "
        f"the first {min(most, GROUPS_SHOWN)} of {most} groups.</p>"
    )
    return (
        f'<div class="wb"><h2>Groups</h2>{part}{damaged}<label>step'
        f' <select id="step">{options}</select>'
        f"</label>{bodies}</div>"
    )


def _spread(steps: list[int]) -> list[int]:
    places = np.unique(
        np.linspace(0, len(steps) - 1, min(STEPS_SHOWN, len(steps))).round().astype(int)
    )
    return [int(steps[i]) for i in places]


def _table(source: RunSource, step: int) -> GroupTable | None:
    samples = source.run.samples(step)
    if not len(samples):
        return None
    return GroupTable.of(samples, source.run.config_at(step), source.opened)


def _step_groups(source: RunSource, table: GroupTable) -> str:
    look = Look(
        "", 600, float(np.nanmax(np.abs(table.advantage_NG))) or 1.0, right_by(source.reward_names)
    )
    everything = np.ones(table.G, dtype=bool)
    return "".join(
        group_html(table, n, everything, look) for n in range(min(len(table), GROUPS_SHOWN))
    )


def _best_paid(source: RunSource) -> str:
    try:
        found = source.run.best_paid(count=ANSWERS)
    except DamagedError as error:
        inner = f'<p class="wb-note">{safe_text(str(error), 400)}</p>'
    else:
        words = safe_text(summary_of(found, source.last_step, "", source.opened))
        table = table_html(found, source.reward_names, 600, source.opened) if len(found) else ""
        inner = f"<p>{words}</p>{table}"
    return f'<div class="wb"><h2>Best-paid answers</h2>{inner}</div>'


def _doctor(source: RunSource) -> str:
    return (
        f'<div class="wb"><h2>Doctor: {safe_text(source.label, 100)}</h2><pre>'
        f"{html.escape(report(source.run))}</pre></div>"
    )


def _settings(source: RunSource) -> str:
    def rows(values: dict[str, Any]) -> str:
        return "".join(
            f"<tr><td>{html.escape(k)}</td><td>{safe_text(str(v), 300)}</td></tr>"
            for k, v in values.items()
        )

    knobs = "".join(
        f"<tr><td>{k.step}</td><td>{html.escape(k.name)}</td><td>{safe_text(str(k.old))}</td><td>"
        f"{safe_text(str(k.new))}</td><td>{safe_text(k.who)}</td></tr>"
        for k in source.knobs.itertuples()
    )
    moved = (
        "<h2>Knob changes</h2><table><tr><th>step</th><th>name</th><th>old</th><th>new</th><th>"
        f"who</th></tr>{knobs}</table>"
        if knobs
        else ""
    )
    return f'<div class="wb">{moved}<h2>Settings</h2><table>{rows(source.run.config)}</table></div>'
