"""The findings as plain text, for a terminal or a log."""

from __future__ import annotations

import textwrap
from pathlib import Path

from workbench.doctor.diagnosis import diagnose
from workbench.doctor.finding import Finding, quoted
from workbench.errors import inert
from workbench.runs import Run

WIDTH = 100


def report(run: Run | str | Path, step: int | None = None) -> str:
    """What `diagnose` finds, as text that is safe to print: whatever a terminal would obey is shown
    as its code point."""
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
    opening = [_wrapped("", inert(text)) for text in (head, served) if text]
    return "\n\n".join([*opening, *map(_paragraph, findings)]) + "\n"


def served_words(run: Run) -> str:
    """What sampled, and how log-probabilities were computed; empty for a record that says
    neither."""
    environment = run.meta.environment
    if "rollout_engine" not in environment:
        return ""
    served, asked = environment["rollout_engine"], run.config.get("rollout_engine")
    instead = "" if served == asked else f" in place of {asked!r}, which cannot serve this model"
    shared = "shares" if environment.get("shared_prompts") else "does not share"
    return (
        f"Sampled by the engine {served!r}{instead}; computing log-probabilities {shared} a prompt "
        "among its completions."
    )


def _paragraph(finding: Finding) -> str:
    parts = [
        (f"{finding.severity.upper()}: ", finding.what),
        ("  evidence: ", finding.evidence),
        ("  try: ", finding.try_),
    ]
    return "\n".join(_wrapped(label, inert(text)) for label, text in parts if text)


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=label, subsequent_indent="    ", break_on_hyphens=False
    )
