"""What happened in a run, as marks on its timeline. Pure: from a source and findings to marks.

One more kind takes a row in `KINDS`, a function `(source) -> list of Marks` in `SOURCES`, its shape
in `timeline.js` and a test in `tests/widgets/test_timeline.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.doctor import Finding
from workbench.runs.checkpoint_folders import steps_in
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import menu_text
from workbench.widgets.overview.markers import knob_places

KINDS = {
    "knob": "knob change",
    "branch": "branch",
    "problem": "problem",
    "warning": "warning",
    "evaluation": "evaluation",
    "checkpoint": "checkpoint",
}
"""Kind of a mark -> its word; notes and good news of the doctor stand on its page alone."""

LONGEST = 200
"""Characters of a mark's text."""


@dataclass(frozen=True)
class Mark:
    """One thing that happened."""

    kind: str
    """A key of `KINDS`."""

    step: int
    """Where it stands."""

    text: str
    """What it was, as plain text: who shows it escapes it."""

    after: int
    """The first step that it can have an effect on."""

    @property
    def key(self) -> str:
        """Names it, whatever else happens in the run."""
        return f"{self.kind}@{self.step}"

    def packed(self) -> dict[str, object]:
        """As the page gets it."""
        shown = f"step {self.step}, {KINDS[self.kind]}: {menu_text(self.text, LONGEST)}"
        return {"key": self.key, "kind": self.kind, "step": self.step, "text": shown}


def marks_of(
    source: RunSource, findings: Sequence[Finding] = (), others: Sequence[RunSource] = ()
) -> list[Mark]:
    """All marks of a run in the order of their steps; `others` are runs that may have branched from
    it."""
    found = [mark for marks in SOURCES for mark in marks(source)]
    found += _children(source, others) + _findings(source, findings)
    one_each: dict[str, Mark] = {}
    for mark in found:
        # Of one kind at one step there is one mark, which says all.
        first = one_each.get(mark.key)
        text = mark.text if first is None else f"{first.text}; {mark.text}"
        one_each[mark.key] = replace(mark, text=text)
    return sorted(one_each.values(), key=lambda mark: mark.step)


def _knobs(source: RunSource) -> list[Mark]:
    # A change holds from its own step on.
    return [
        Mark("knob", place.step, place.plain_text(), place.step)
        for place in knob_places(source, source.last_step)
    ]


def _branch(source: RunSource) -> list[Mark]:
    meta = source.run.meta
    if meta.branch_step is None:
        return []
    text = f"branched from {meta.parent_name or 'a run'} after step {meta.branch_step}"
    return [Mark("branch", meta.branch_step, text, meta.branch_step + 1)]


def _children(source: RunSource, others: Sequence[RunSource]) -> list[Mark]:
    marks = []
    for other in others:
        meta = other.run.meta
        if meta.branch_step is not None and meta.parent_id == source.run.meta.id:
            text = f"{other.label} branched off after step {meta.branch_step}"
            marks.append(Mark("branch", meta.branch_step, text, meta.branch_step + 1))
    return marks


def _evaluations(source: RunSource) -> list[Mark]:
    marks = []
    for row in source.evaluations.itertuples():
        interval = f" [{100 * row.low:.0f} to {100 * row.high:.0f}]" if np.isfinite(row.low) else ""
        text = f"{str(row.split).replace('_', '-')} {100 * row.accuracy:.1f} %{interval}"
        # It changes nothing itself: what it found belongs to the side after.
        marks.append(Mark("evaluation", int(row.step), text, int(row.step)))
    return marks


def _checkpoints(source: RunSource) -> list[Mark]:
    # Beside a record that was handed on alone there is none.
    steps = steps_in(source.run.path.parent / "checkpoints")
    return [
        Mark("checkpoint", step, "a branch or a rewind may begin here", step + 1)
        for step in steps
        if step <= source.last_step
    ]


SOURCES: tuple[Callable[[RunSource], list[Mark]], ...] = (
    _knobs,
    _branch,
    _evaluations,
    _checkpoints,
)


def _findings(source: RunSource, findings: Sequence[Finding]) -> list[Mark]:
    """Problems and warnings where their evidence begins; several of one step are one mark."""
    texts: dict[tuple[str, int], list[str]] = {}
    for finding in findings:
        if finding.severity in KINDS:
            # Where its evidence is no curve's it is of the run as it stands.
            step = source.last_step if finding.curve is None else finding.curve.first
            texts.setdefault((finding.severity, step), []).append(finding.what)
    return [Mark(kind, step, " ".join(what), step) for (kind, step), what in texts.items()]


def spans_of(steps: Sequence[int]) -> list[list[int]]:
    """Ascending steps as stretches of consecutive ones, [first, last] each."""
    spans: list[list[int]] = []
    for step in steps:
        if spans and step == spans[-1][1] + 1:
            spans[-1][1] = step
        else:
            spans.append([step, step])
    return spans
