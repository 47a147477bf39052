"""The doctor's findings for all parts of a dashboard that show some: each state of a run is
diagnosed once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from workbench.doctor import Finding, diagnose
from workbench.widgets.base.source import RunSource

PATIENCE = 20.0
"""While a run goes on it is diagnosed again after so many times as long as a diagnosis takes, so
that it costs no more than a twentieth of the time."""
MOST = 16
"""States that are kept."""


@dataclass(frozen=True)
class _Known:
    state: object
    findings: list[Finding]
    good_until: float


class Diagnoses:
    """`of` gives the findings of a run, which while it goes on may be those of a moment ago; `anew`
    those of now. May be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[object, _Known] = {}

    def of(self, source: RunSource, step: int | None = None) -> list[Finding]:
        """As the run stood after `step`; None = its newest, which need not be the very last while
        it goes on."""
        known = self._known.get(_place(source, step))
        if known is not None:
            may_wait = step is None and source.status == "running"
            if may_wait and time.monotonic() < known.good_until:
                return known.findings
            if known.state == _state(source, step):
                return known.findings
        return self.anew(source, step)

    def anew(self, source: RunSource, step: int | None = None) -> list[Finding]:
        """The same, of now in any case."""
        with self._lock:
            began = time.monotonic()
            # What it is of is read first: a step that comes meanwhile is another state.
            state = _state(source, step)
            findings = diagnose(source, shown_step(source, step))
            now = time.monotonic()
            known = _Known(state, findings, now + PATIENCE * (now - began))
            self._known.pop(_place(source, step), None)
            self._known[_place(source, step)] = known
            while len(self._known) > MOST:
                del self._known[next(iter(self._known))]
        return findings


def shown_step(source: RunSource, step: int | None) -> int:
    """The step of this run where `step` is shown; None = its newest."""
    last = source.last_step
    return last if step is None else min(step, last)


def _place(source: RunSource, step: int | None) -> object:
    return source.run.path, step


def _state(source: RunSource, step: int | None) -> object:
    """The run, how often it was cut back, the step, how it stands."""
    return source.run.path, source.run.position(), shown_step(source, step), source.status
