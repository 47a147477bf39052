"""The doctor's page: what is going on in a run, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets

from workbench.doctor import SEVERITIES, Finding, diagnose
from workbench.widgets.base.guarded import Guarded, set_if_changed, stylesheet
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import BLUE, GREEN, ORANGE, PINK, framed
from workbench.widgets.base.text import safe_text

SIGNS = {
    "problem": ("✖", ORANGE),
    "warning": ("▲", PINK),
    "note": ("●", BLUE),
    "good": ("✔", GREEN),
}
"""Symbol and colour of a severity; its word stands beside them."""
RUNS_AT_ONCE = 4
TEXT_LIMIT, NAME_LIMIT = 1200, 80

DOCTOR_CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


class DoctorView(Guarded):
    """The tab "Doctor": the findings of `workbench.doctor` as cards. Without any run or step it
    says so."""

    title = "Doctor"

    def __init__(self) -> None:
        super().__init__()
        self.cards = widgets.HTML()
        self.widget = widgets.VBox([stylesheet(DOCTOR_CSS), self.message, self.cards])
        self.show([], None)

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the findings of the runs (the first is in focus) as of `step`; None = each one's
        newest."""
        self.guarded(self._show, sources, step)

    def fail(self, error: BaseException) -> None:
        """Show an error, and no findings that may be out of date."""
        super().fail(error)
        set_if_changed(self.cards, "value", "")

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        parts = [
            _run_html(source, step, several=len(sources) > 1) for source in sources[:RUNS_AT_ONCE]
        ]
        if len(sources) > RUNS_AT_ONCE:
            parts.append(_note(f"Shown are the first {RUNS_AT_ONCE} of {len(sources)} runs."))
        set_if_changed(
            self.cards,
            "value",
            framed("".join(parts) or _note("No run is shown yet.")),
        )
        self.settled()


def _run_html(source: RunSource, step: int | None, several: bool) -> str:
    """The findings of one run under a line that counts them."""
    last = source.last_step
    shown = last if step is None else min(step, last)
    findings = diagnose(source, shown)
    name = f"<b>{safe_text(source.label, NAME_LIMIT)}</b>, " if several else ""
    when = "" if shown == last else f" (as it stood then; the run goes on to step {last})"
    head = f"<p>{name}step {shown}{when}: <span role='status'>{_counts(findings)}</span></p>"
    cards = "".join(_card(finding) for finding in findings)
    return head + (f"<ul class='wb-doctor' aria-label='Findings'>{cards}</ul>" if cards else "")


def _counts(findings: Sequence[Finding]) -> str:
    count = Counter(finding.severity for finding in findings)
    words = [
        f"{count[s]} {s}{'s' if s != 'good' and count[s] > 1 else ''}"
        for s in SEVERITIES
        if count[s]
    ]
    return ", ".join(words) or "nothing out of the ordinary so far."


def _card(finding: Finding) -> str:
    """One finding: sign and word, what, evidence, what to try."""
    sign, colour = SIGNS[finding.severity]
    remedy = (
        f"<p><span class='wb-label'>Try:</span> {safe_text(finding.try_, TEXT_LIMIT)}</p>"
        if finding.try_
        else ""
    )
    return (
        f"<li class='wb-finding' style='border-left-color:{colour}' "
        f"data-key='{safe_text(finding.key)}'>"
        f"<div class='wb-severity'><span class='wb-sign' aria-hidden='true' style='color:{colour}'>"
        f"{sign}</span>{finding.severity}</div>"
        f"<div><p class='wb-what'>{safe_text(finding.what, TEXT_LIMIT)}</p>"
        f"<p><span class='wb-label'>Evidence:</span> {safe_text(finding.evidence, TEXT_LIMIT)}</p>"
        f"{remedy}</div></li>"
    )


def _note(text: str) -> str:
    return f"<div class='wb-note' role='status'>{safe_text(text)}</div>"
