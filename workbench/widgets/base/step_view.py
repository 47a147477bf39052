"""What the views of one step share: they show the step that is chosen on the dashboard, and read it
again when it is another."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.runs import RunRecordError
from workbench.widgets.base.guarded import Guarded
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.step_chooser import StepChooser

NO_RUN = "No run is shown yet."
NO_STEP = "No step yet. The first one appears here when it is done."


class StepView(Guarded):
    """Base of a view of one step of the first run. A subclass says how a step is drawn, and how it
    says that there is none.

    `read()` draws the step that is chosen, whatever was drawn before; `source` is the run;
    `selection` is shared with the other pages.
    """

    KEPT = "steps"
    """What of a step it shows, as `Run.kept_steps` calls it: ‹ and › pass over the others."""

    def __init__(self, selection: Selection | None = None) -> None:
        super().__init__()
        self.source: RunSource | None = None
        self._drawn: object = None
        self.steps = StepChooser(self, lambda: self.guarded(self._show_again), selection)
        self.selection = self.steps.selection

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the first run at the step that is chosen, or else at `step` (None = its newest)."""
        self.guarded(self._show, sources, step)

    @property
    def step(self) -> int | None:
        """The step shown; None before the first."""
        return self.steps.step

    def _show(self, sources: Sequence[RunSource], step: int | None) -> None:
        self.source = sources[0] if sources else None
        last = self.source.last_step if self.source else 0
        kept = self.source.kept_steps(self.KEPT) if self.source else []
        self._offer(self.selection.step or step or last or None, last, kept)
        if self._drawn is None or self._drawn != self.key:
            self.read()

    def _offer(self, step: int | None, last: int, kept: Sequence[int]) -> None:
        """Which steps can be chosen here, and which one is."""
        self.steps.offer(step, last, kept)

    def _show_again(self) -> None:
        if self.source is not None:
            self._show([self.source], self.step)

    @property
    def key(self) -> object:
        """What tells one reading from another: the run, how often it was cut back, the step. None =
        nothing to read."""
        if self.source is None or self.step is None:
            return None
        return self.source.run.path, self.source.run.position()[0], self.step

    def read(self) -> None:
        """Draw the step, or say in words why there is nothing to draw."""
        self._drawn = None  # after an error the next call draws again
        key = self.key
        if self.source is None or self.step is None:
            self.draw_empty(NO_RUN if self.source is None else NO_STEP)
        else:
            try:
                self.draw_step(self.source, self.step)
            except RunRecordError as missing:
                self.draw_empty(f"{missing}{self._where_there_is_one()}")
        self._drawn = key
        self.settled()

    def _where_there_is_one(self) -> str:
        """Which steps around this one have something to show; '' where ‹ and › lead to none."""
        beside = [self.steps.beside(older) for older in (True, False)]
        steps = [str(step) for step in beside if step is not None]
        return (
            f" ‹ and › lead to those that were: step {' and step '.join(steps)}." if steps else ""
        )

    def draw_step(self, source: RunSource, step: int) -> None:
        """Read and draw `step`. Raises `RunRecordError` where it was not kept."""
        raise NotImplementedError

    def draw_empty(self, why: str) -> None:
        """Show no step, and why."""
        raise NotImplementedError
