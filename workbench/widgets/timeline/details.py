"""What stands below the timeline when a mark is chosen: what it was, and the run before and after
it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import safe_text
from workbench.widgets.timeline.before_after import change_at
from workbench.widgets.timeline.marks import KINDS, LONGEST, Mark

FIGURES = (
    ("reward", "reward", False),
    ("kl", "KL", False),
    ("entropy", "entropy", False),
    ("clip_ratio_region", "clipped", True),
    ("dead_group_share", "dead groups", True),
    ("completion_length", "tokens", False),
)
"""Column of the record, its name in a sentence, and whether it is a share."""


def details_html(source: RunSource, marks: Sequence[Mark], every: Sequence[Mark]) -> str:
    """The chosen marks in words, and what changed at each step that they stand at. `every` is all
    marks of the run: a window ends where another knob was moved."""
    said = "".join(
        f"<p><b>step {mark.step}, {KINDS[mark.kind]}</b> {safe_text(mark.text, 4 * LONGEST)}</p>"
        for mark in marks
    )
    places = list(dict.fromkeys(mark.after for mark in marks))
    return said + "".join(_changes_html(source, after, every) for after in places)


def changes_in_words(source: RunSource, after: int, every: Sequence[Mark]) -> list[str]:
    """What each figure was before step `after` and is from it on; over how many steps is said where
    it differs from the figure before."""
    walls = [mark.after for mark in every if mark.kind == "knob"]
    steps = source.metrics["step"].to_numpy()
    said = []
    told = ""
    for column, name, is_share in FIGURES:
        if column not in source.metrics:
            continue
        change = change_at(steps, source.metrics[column].to_numpy(dtype=float), after, walls)
        if change.before.count or change.after.count:
            is_new = change.over != told
            said.append(change.words(name, percent=is_share, with_steps=is_new))
            told = change.over
    return [*said, *_accuracy(source, after)]


def _accuracy(source: RunSource, after: int) -> list[str]:
    """The held-out evaluations next to a step on either side, each with its own interval."""
    said = []
    for split in dict.fromkeys(source.evaluations["split"]):
        rows = source.evaluations[source.evaluations["split"] == split]
        before = rows[rows["step"] < after].tail(1)
        since = rows[rows["step"] >= after].head(1)
        if len(before) and len(since):
            told = f"{_evaluation(before)} → {_evaluation(since)}"
            said.append(f"{str(split).replace('_', '-')} {told}")
    return said


def _evaluation(row: pd.DataFrame) -> str:
    accuracy, low, high = (100 * float(row[name].iloc[0]) for name in ("accuracy", "low", "high"))
    interval = f" [{low:.0f} to {high:.0f}]" if np.isfinite(low) else ""
    return f"{accuracy:.1f} %{interval} at step {int(row['step'].iloc[0])}"


def _changes_html(source: RunSource, after: int, every: Sequence[Mark]) -> str:
    items = changes_in_words(source, after, every)
    if not items:
        return ""
    rows = "".join(f"<li>{safe_text(item, LONGEST)}</li>" for item in items)
    return f"<ul aria-label='Before step {after}, and from it on'>{rows}</ul>"
