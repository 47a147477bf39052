"""The comparison in words and tables: how the runs ended, what differs between them, which knobs
moved."""

from __future__ import annotations

import html
from collections.abc import Sequence

from workbench.experiment.statistics import difference_of_shares
from workbench.runs import diff_configs
from workbench.widgets.base.numbers import number_text, typographic
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import safe_text
from workbench.widgets.compare.charts import Shown
from workbench.widgets.compare.differences import LastEvaluation, last_evaluation

CELL = 160
"""Characters of a setting that are shown."""


def verdicts(shown: Shown) -> str:
    """The final held-out accuracy of each run against that of the reference, with its interval."""
    reference = shown.reference
    end = last_evaluation(reference.source)
    name = safe_text(reference.source.label, 60)
    if end is None:
        return f"<p>{name} was not evaluated on problems held out.</p>"
    items = [
        f"<li>{_verdict(member.source, end, name)}</li>"
        for member in shown.members
        if member is not reference
    ]
    if not items:
        return f"<p><b>{name}</b> ended at {_accuracy(end)}.</p>"
    return (
        f"<p><b>{name}</b> ended at {_accuracy(end)}. Against it:</p><ul>{''.join(items)}</ul>"
        "<p class='wb-dim'>Intervals of 95 %; those of differences after Newcombe, as if the "
        "problems were others: of the same problems they are rather too wide. They say nothing of "
        "other seeds.</p>"
    )


def _verdict(source: RunSource, end: LastEvaluation, name: str) -> str:
    own = last_evaluation(source)
    label = f"<b>{safe_text(source.label, 60)}</b>"
    if own is None:
        return f"{label} was not evaluated."
    if own.split != end.split:
        return (
            f"{label} was evaluated on {safe_text(own.split, 40)}, {name} on "
            f"{safe_text(end.split, 40)}: not the same problems."
        )
    value, low, high = difference_of_shares(
        (own.accuracy, own.low, own.high), (end.accuracy, end.low, end.high)
    )
    word = "no clear difference"
    if low > 0:
        word = "better"
    if high < 0:
        word = "worse"
    return (
        f"{label} {_accuracy(own)}: <b>{_points(value)} points</b> "
        f"({_points(low)} to {_points(high)}), {word}."
    )


def _accuracy(end: LastEvaluation) -> str:
    interval = f"{100 * end.low:.1f} to {100 * end.high:.1f}"
    return f"{100 * end.accuracy:.1f} % ({interval}, n = {end.n}, step {end.step})"


def _points(share: float) -> str:
    return number_text(100 * share, "+.1f", "not known")


def settings_table(sources: Sequence[RunSource]) -> str:
    """The settings that differ, a column for each run."""
    frame = diff_configs([source.run for source in sources])
    if not len(frame):
        return "<p>All settings are the same.</p>"
    heads = "".join(
        f"<th scope='col'>{safe_text(str(column), 60)}</th>" for column in frame.columns
    )
    rows = "".join(
        f"<tr><th scope='row'>{safe_text(str(name), 60)}</th>"
        + "".join(f"<td>{safe_text(_value(value), CELL)}</td>" for value in row)
        + "</tr>"
        for name, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    )
    head = f"<thead><tr><th scope='col'>setting</th>{heads}</tr></thead>"
    return f"<table>{head}<tbody>{rows}</tbody></table>"


def knob_table(sources: Sequence[RunSource]) -> str:
    """Every knob change of each run; a branch's begin after its fork."""
    rows = []
    for source in sources:
        fork = source.fork or 0
        for change in source.knobs.itertuples():
            if change.step > fork:
                cells = [
                    safe_text(source.label, 60),
                    str(int(change.step)),
                    safe_text(str(change.name), 60),
                    f"{safe_text(_value(change.old), 60)} → {safe_text(_value(change.new), 60)}",
                    safe_text(str(change.who), 40),
                ]
                rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    if not rows:
        return "<p>No knob was moved.</p>"
    heads = "".join(f"<th scope='col'>{h}</th>" for h in ("run", "step", "knob", "change", "by"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _value(value: object) -> str:
    return typographic(f"{value:.4g}") if isinstance(value, float) else str(value)


def knob_difference(source: RunSource) -> str:
    """What was changed at the fork, in a few plain characters: 'beta 0.005 → 1'."""
    fork = source.fork
    if fork is None:
        return ""
    knobs = source.knobs
    changes = [
        f"{change.name} {_value(change.old)} → {_value(change.new)}"
        for change in knobs[knobs["step"] == fork + 1].itertuples()
    ]
    return ", ".join(changes) or "nothing changed"


def section(title: str, inner: str, opened: bool = False) -> str:
    """A part that folds."""
    state = " open" if opened else ""
    return f"<details{state}><summary>{html.escape(title)}</summary>{inner}</details>"
