"""A run record as a view sees it: metric columns that grow, read a piece at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ipywidgets
    import pandas as pd


class RunSource:
    """One run, live or stored. `refresh` reads what is new since the last call; the frames stay in between.

    metrics      a row per step (as `Run.steps`)
    knobs, evaluations, events   as `Run` gives them
    status       running, finished, stopped, failed, or how else the record ended
    """

    def __init__(self, run: Run | str | Path) -> None:
        self.run = run if isinstance(run, Run) else Run.open(run)
        meta = self.run.meta
        self.label, self.reward_names, self.status = meta.name, list(meta.reward_names), meta.status
        self._position: tuple[int, int] | None = None
        self._written: tuple[object, ...] | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Read what is new; True when something changed."""
        position, status = self.run.position(), self.run.meta.status
        evaluations, events = self.run.evaluations(), self.run.events()
        written = (position, status, len(evaluations), len(events))
        if written == self._written:
            return False
        self.metrics = self._metrics(position)
        self.knobs, self.evaluations, self.events = self.run.knobs(), evaluations, events
        self._position, self.status, self._written = position, status, written
        return True

    def _metrics(self, position: tuple[int, int]) -> pd.DataFrame:
        import pandas as pd

        if self._position is None or position[0] != self._position[0]:  # new, or cut back by a resume or a rewind
            return self.run.steps()
        new = self.run.steps(since=self._position[1])
        return pd.concat([self.metrics, new], ignore_index=True) if len(new) else self.metrics

    @property
    def last_step(self) -> int:
        """The newest step read; 0 before the first."""
        return int(self.metrics["step"].iloc[-1]) if len(self.metrics) else 0


class View(Protocol):
    """A page of the dashboard: a widget that shows runs at a step. It owns no state of the run and never trains."""

    title: str
    widget: ipywidgets.Widget

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the runs (the first one is the one in focus) at `step`; None = its newest."""
        ...
