"""From a run to its findings."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from workbench.doctor.facts import Facts, Source
from workbench.doctor.finding import SEVERITIES, Finding
from workbench.doctor.rules import RULES
from workbench.runs import Run


def diagnose(
    source: Run | str | Path | Source, step: int | None = None, since: int = 1
) -> list[Finding]:
    """What is noteworthy of the run as it stood after `step` (None = its newest), the worst first;
    but the good news before the notes where nothing is worse than a note. With `since` it is of the
    steps from there on alone.

    `source` is a run, its path, or a view's source with the tables read already. Raises ValueError
    for a step that is not in the record, `RunRecordError` for a record that cannot be read. Texts
    may quote the run: make them inert before showing.
    """
    facts = Facts.of(source, step, since)
    found = [finding for rule in RULES if (finding := rule(facts)) is not None]
    if facts.imported is not None:
        found = [_of_imported(finding) for finding in found]
    ill = any(finding.severity in ("problem", "warning") for finding in found)
    order = SEVERITIES if ill else SEVERITIES[::-1]
    return sorted(found, key=lambda finding: order.index(finding.severity))


UNKNOWN_NOW = re.compile(r" ?\((?:\w+=|now )None\)|=None\b")
"""How a text names a setting that the record does not have."""


def _of_imported(finding: Finding) -> Finding:
    """Without the values of settings that nobody recorded."""
    return replace(finding, try_=UNKNOWN_NOW.sub("", finding.try_))
