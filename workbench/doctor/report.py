"""The findings as plain text, for a terminal or a log."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from workbench.doctor.diagnosis import diagnose
from workbench.doctor.finding import SIGNS, Finding, quoted
from workbench.doctor.pages import page_address
from workbench.errors import inert
from workbench.runs import Run

WIDTH = 100
UNBROKEN = "\u00a0"
INDENT = "    "
"""Before the second and further lines of a text."""


@dataclass(frozen=True)
class Line:
    """A text that is wrapped by itself, behind its label."""

    label: str
    text: str
    severity: str = ""
    """Of the finding that the label names; '' where it names none."""

    def wrapped(self, width: int) -> str:
        """The lines of it, none longer than `width`, without anything that a terminal would
        obey."""
        # A figure stays with its unit.
        text = inert(self.text).replace(" %", f"{UNBROKEN}%")
        filled = textwrap.fill(
            text,
            max(width, 2 * len(INDENT) + len(self.label)),
            initial_indent=self.label,
            subsequent_indent=INDENT,
            break_on_hyphens=False,
        )
        return filled.replace(f"{UNBROKEN}%", " %")


def report(run: Run | str | Path, step: int | None = None, width: int = WIDTH) -> str:
    """What `diagnose` finds, as text of lines up to `width` that is safe to print: whatever a
    terminal would obey is shown as its code point."""
    wrapped = [
        "\n".join(line.wrapped(width) for line in paragraph) for paragraph in paragraphs(run, step)
    ]
    return "\n\n".join(wrapped) + "\n"


def paragraphs(run: Run | str | Path, step: int | None = None) -> list[list[Line]]:
    """What the report says: how the run stands, then a paragraph for each finding."""
    run = run if isinstance(run, Run) else Run.open(run)
    findings = diagnose(run, step)
    last = run.last_step() if step is None else step
    head = (
        f"{quoted(run.meta.name)}: {run.meta.status}, as of step {last}; {len(findings)} "
        f"finding{'s' * (len(findings) != 1)}"
    )
    fault = run.meta.environment.get("fault")
    if fault is not None:
        head += f"; a fault was injected on purpose: {quoted(fault)}"
    served = served_words(run)
    opening = [[Line("", text)] for text in (head, served) if text]
    return [*opening, *map(_paragraph, findings)]


def served_words(run: Run) -> str:
    """What sampled, and how log-probabilities were computed; empty for a record that says
    neither."""
    environment = run.meta.environment
    if "rollout_engine" not in environment:
        return ""
    served, asked = environment["rollout_engine"], run.config.get("rollout_engine")
    instead = "" if served == asked else f" in place of {asked!r}, which cannot serve this model"
    shared = "shares" if environment.get("shared_prompts") else "does not share"
    said = (
        f"Sampled by the engine {served!r}{instead}; computing log-probabilities {shared} a prompt "
        "among its completions"
    )
    apart = environment.get("attention_apart")
    if apart is not None:
        said += f", {'without' if apart else 'with'} a mask where they are long"
    shared_decoding = environment.get("shared_decoding")
    if shared_decoding is not None:
        also = "shares" if shared_decoding else "does not share"
        said += f"; sampling {also} its keys and values"
    return f"{said}."


def _paragraph(finding: Finding) -> list[Line]:
    sign = SIGNS[finding.severity]
    lines = [
        Line(f"{sign} {finding.severity.upper()}: ", finding.what, finding.severity),
        Line("  evidence: ", finding.evidence),
        Line("  try: ", finding.try_),
        Line("  more: ", page_address(finding.key)),
    ]
    return [line for line in lines if line.text]
