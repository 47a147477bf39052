"""One self-contained HTML file of runs: curves, groups, tokens and the doctor's cards, which opens
offline, needs no kernel, and follows the reader's light or dark mode.

plotly.js is written into the file; a few lines of script draw the charts and let a reader choose a
step. All text is escaped as in the views, and a policy in the page forbids any other script.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.doctor import diagnose
from workbench.runs import DamagedError, Run
from workbench.widgets.base.html_file import write_page
from workbench.widgets.base.source import Control, RunSource, controls_to_show
from workbench.widgets.base.style import CSS, framed, scrolling
from workbench.widgets.base.text import safe_text
from workbench.widgets.best_paid.markup import BEST_PAID_CSS, summary_of, table_html
from workbench.widgets.best_paid.view import ANSWERS
from workbench.widgets.doctor.markup import DOCTOR_CSS, cards_html
from workbench.widgets.evaluation.charts import charts as evaluation_charts
from workbench.widgets.evaluation.figures import JUDGES, groupings_of, sampled_of, steps_of
from workbench.widgets.evaluation.markup import (
    EVALUATION_CSS,
    label_table,
    main_table,
    words_html,
)
from workbench.widgets.export.frame import Section, page_html
from workbench.widgets.export.tokens import tokens_html
from workbench.widgets.groups.markup import GROUPS_CSS, Look, group_html
from workbench.widgets.groups.table import GroupTable, right_by
from workbench.widgets.overview.panels import charts
from workbench.widgets.overview.view import headline
from workbench.widgets.plots import Chart
from workbench.widgets.tokens.markup import TOKENS_CSS
from workbench.widgets.tokens.step import TokenSteps

STEPS_SHOWN = 12
"""Steps whose groups are written into the file, spread evenly over the run."""
GROUPS_SHOWN = 8
ROOM = 900_000
"""Bytes for groups and tokens of all steps: with plotly.js (4.9 MB) the file stays below 6 MB."""
_FOLDER = Path(__file__).with_name("export")
PAGE_CSS = (_FOLDER / "page.css").read_text(encoding="utf-8")
TITLE_ROOM = 28
"""Pixels above a chart's legend that its title takes."""
SCRIPT = (_FOLDER / "page.js").read_text(encoding="utf-8")
STYLES = (CSS, GROUPS_CSS, TOKENS_CSS, BEST_PAID_CSS, EVALUATION_CSS, DOCTOR_CSS, PAGE_CSS)


def export_html(
    runs: Run | str | Path | list[Run | str | Path],
    out: str | Path,
    *,
    control: Control | None = None,
) -> Path:
    """Write the page of one run, or of several to compare (the first one with its groups), to
    `out`; returns it. `control` is drawn behind the first one, as in `Dashboard`. Raises
    `HtmlFileError` where `out` cannot be written."""
    from plotly.offline import get_plotlyjs

    sources = [RunSource(r) for r in (runs if isinstance(runs, list) else [runs])]
    sources[0].controls = controls_to_show(sources[0].run, control)
    first = sources[0]
    drawn: list[Chart] = []
    sections = [
        *(_doctor(source, place, len(sources)) for place, source in enumerate(sources)),
        Section("curves", "Curves", _plots(charts(sources), drawn)),
        Section("evaluation", "Evaluation with samples", _evaluation(first, drawn)),
        Section("groups", "Groups and tokens", _groups(first)),
        Section("best-paid", "Best-paid answers", _best_paid(first)),
        Section("knobs", "Knob changes", _knobs(first)),
        Section("settings", "Settings", _settings(first)),
    ]
    page = page_html(
        ", ".join(source.label for source in sources),
        "".join(STYLES),
        _faults(sources) + f'<div class="wb">{headline(sources)}</div>',
        sections,
        [get_plotlyjs(), SCRIPT],
        drawn,
    )
    return write_page(out, page)


def _faults(sources: Sequence[RunSource]) -> str:
    """That a mistake was put into a run on purpose, before anything is read of it."""
    said = ""
    for source in sources:
        fault = source.run.meta.environment.get("fault")
        if fault is not None:
            said += (
                f'<p class="fault" role="note">▲ {safe_text(source.label, 80)}: a fault was '
                f"injected on purpose: {safe_text(str(fault), 120)}</p>"
            )
    return said


def _doctor(source: RunSource, place: int, of: int) -> Section:
    whose = f": {source.label}" if of > 1 else ""
    findings = diagnose(source)
    cards = cards_html(source, findings, source.last_step)
    return Section(f"doctor-{place}", f"Doctor{whose}", f'<div class="wb">{cards}</div>')


def _plots(found: Sequence[Chart], drawn: list[Chart]) -> str:
    """A place for each chart; the charts themselves go to the page's data."""
    if not found:
        return ""
    places = ""
    for chart in found:
        places += f"<figure>{_caption(chart)}{_place(chart, len(drawn))}</figure>"
        drawn.append(_without_title(chart))
    return f'<div class="panels">{places}</div>'


def _caption(chart: Chart) -> str:
    """The chart's title and what its y axis means: text of the page, which wraps where it is
    narrow. Both are as plotly takes them, escaped."""
    meta = chart["layout"].get("meta", {})
    title, about = (html.escape(html.unescape(meta.get(key, ""))) for key in ("title", "about"))
    return f"<figcaption><b>{title}</b> {about}</figcaption>" if title else ""


def _place(chart: Chart, number: int) -> str:
    words = html.escape(chart["layout"].get("meta", {}).get("summary", "chart"))
    return f'<div data-chart="{number}" role="group" aria-label="{words}"></div>'


def _without_title(chart: Chart) -> Chart:
    """The chart without the title that `_caption` gave, and without its room."""
    layout = dict(chart["layout"])
    if layout.get("meta", {}).get("title") and layout.pop("title", None):
        margin = layout["margin"]
        layout["margin"] = margin | {"t": margin["t"] - TITLE_ROOM}
    return chart | {"layout": layout}


def _evaluation(source: RunSource, drawn: list[Chart]) -> str:
    """Before and after by the strict judge, and the words of both; nothing where no evaluation drew
    samples."""
    frame = sampled_of(source.run)
    if not len(frame):
        return ""
    split = str(frame["split"].iloc[0])
    there = steps_of(frame, split)
    steps = (there[0], there[-1])
    strict = JUDGES[0]
    panels = _plots(evaluation_charts(source, frame, split, strict, steps), drawn)
    tables = [main_table(frame, split, steps)]
    tables += [
        label_table(frame, split, steps, grouping, strict)
        for grouping in groupings_of(frame, split)
    ]
    return (
        f'<div class="wb">{words_html(frame, split, steps)}</div>{panels}'
        f"{_scrolling('tables of the evaluation', ''.join(tables))}"
    )


def _scrolling(name: str, inner: str) -> str:
    """Tables that may be wider than the page scroll by themselves."""
    return framed(scrolling(name, inner))


def _groups(source: RunSource) -> str:
    steps = _spread(_kept(source)) if len(source.metrics) else []
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
    if not tables:
        return f'<div class="wb"><p class="wb-note">No completions were kept.</p>{damaged}</div>'
    read = TokenSteps()
    pages = {
        step: _step_page(source, table, read, step, ROOM // len(tables))
        for step, table in tables.items()
    }
    options = "".join(f"<option>{step}</option>" for step in pages)
    bodies = "".join(
        f'<div class="step" data-step="{step}" hidden>{body}</div>'
        for step, (body, _) in pages.items()
    )
    most = max(map(len, tables.values()))
    shown = [count for _, count in pages.values()]
    first = str(max(shown)) if min(shown) == max(shown) else f"{min(shown)} to {max(shown)}"
    part = (
        f'<p class="wb-note">This file holds the groups of {len(pages)} of {len(source.metrics)} '
        f"steps, and of each step the first {first} of {most} groups.</p>"
    )
    return (
        f'<div class="wb">{part}{damaged}<label class="step-choice">step'
        f' <select id="step">{options}</select></label></div>{bodies}'
    )


def _kept(source: RunSource) -> list[int]:
    """The steps that may have completions: a thinned record says of which it kept them."""
    every: list[int] = source.metrics["step"].tolist()
    thinned = [set(data["kept_steps"]) for data in source.events["data"] if "kept_steps" in data]
    return [step for step in every if all(step in kept for kept in thinned)]


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


def _step_page(
    source: RunSource, table: GroupTable, read: TokenSteps, step: int, room: int
) -> tuple[str, int]:
    """The tokens of a step and its first groups, as many as fit into `room` bytes (one at least),
    and how many these are."""
    tokens = tokens_html(source, read, step)
    # An imported run may have no advantages.
    largest = float(np.nan_to_num(np.abs(table.advantage_NG)).max()) or 1.0
    look = Look("", 600, largest, right_by(source.reward_names))
    everything = np.ones(table.G, dtype=bool)
    left = room - len(tokens.encode("utf-8", "replace"))
    groups = ""
    count = 0
    for n in range(min(len(table), GROUPS_SHOWN)):
        group = _scrolling(f"group {n}", group_html(table, n, everything, look))
        left -= len(group.encode("utf-8", "replace"))
        if count and left < 0:
            break
        groups += group
        count += 1
    return f"{tokens}<h3>Groups</h3>{groups}", count


def _best_paid(source: RunSource) -> str:
    try:
        found = source.run.best_paid(count=ANSWERS)
    except DamagedError as error:
        return f'<div class="wb"><p class="wb-note">{safe_text(str(error), 400)}</p></div>'
    words = safe_text(summary_of(found, source.last_step, "", source.opened))
    if not len(found):
        return f'<div class="wb"><p>{words}</p></div>'
    table = table_html(found, source.reward_names, 600, source.opened)
    return f'<div class="wb"><p>{words}</p></div>{_scrolling("the best-paid answers", table)}'


def _knobs(source: RunSource) -> str:
    """What was moved while the run went on; nothing where nothing was."""
    rows = "".join(
        f"<tr><td>{knob.step}</td><td>{html.escape(knob.name)}</td>"
        f"<td>{safe_text(str(knob.old))}</td><td>{safe_text(str(knob.new))}</td>"
        f"<td>{safe_text(knob.who)}</td></tr>"
        for knob in source.knobs.itertuples()
    )
    if not rows:
        return ""
    heads = "".join(f"<th>{name}</th>" for name in ("step", "name", "old", "new", "who"))
    return _scrolling("knob changes", f"<table><tr>{heads}</tr>{rows}</table>")


def _settings(source: RunSource) -> str:
    values: dict[str, Any] = source.run.config
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{safe_text(str(value), 300)}</td></tr>"
        for name, value in values.items()
    )
    return f'<div class="wb"><table class="settings">{rows}</table></div>'
