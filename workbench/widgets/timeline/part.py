"""The timeline in a dashboard: filled from the run in focus, and tied to the step that all pages
share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from workbench.widgets.base.diagnoses import Diagnoses
from workbench.widgets.base.guarded import Guarded, set_if_changed
from workbench.widgets.base.source import RunSource
from workbench.widgets.controls.step_slider import StepSlider
from workbench.widgets.timeline.details import details_html
from workbench.widgets.timeline.marks import Mark, marks_of, spans_of
from workbench.widgets.timeline.timeline import Timeline


class TimelinePart(Guarded):
    """`widget` is shown; `timeline` is the line in it. The step is that of `steps`, whose slider,
    box and replay it moves and follows; `changed` is called when another interval is chosen, and
    `diagnoses` are shared with the doctor's page."""

    def __init__(
        self,
        steps: StepSlider,
        changed: Callable[[], None] = lambda: None,
        diagnoses: Diagnoses | None = None,
    ) -> None:
        super().__init__()
        self._diagnoses = diagnoses or Diagnoses()
        self.timeline = Timeline()
        self.widget = widgets.VBox(
            [self.timeline, self.message], layout=widgets.Layout(width="100%")
        )
        self._source: RunSource | None = None
        self._marks: list[Mark] = []
        self._drawn: list[object] = []
        _tie(self.timeline, "cursor", steps.slider, "value")
        _tie(self.timeline, "following", steps.newest, "value")
        _tie(self.timeline, "playing", steps.replay.button, "value")
        _tie(self.timeline, "speed", steps.replay.speed, "value", lambda speed: 1 / speed)
        self.timeline.observe(lambda change: self.guarded(self._describe), "picked")
        self.timeline.observe(lambda change: changed(), "interval")

    @property
    def interval(self) -> tuple[int, int] | None:
        """The first and last step of the stretch that a person chose; None for all."""
        chosen = self.timeline.interval
        return (chosen[0], chosen[1]) if chosen else None

    def show_all(self) -> None:
        """No stretch is chosen any more."""
        self.timeline.interval = []

    def show(self, sources: Sequence[RunSource]) -> None:
        """Draw the run in focus, the first one."""
        self.guarded(self._show, sources[0], sources[1:])

    def _show(self, source: RunSource, others: Sequence[RunSource]) -> None:
        # A source reads its tables anew when something changed, and only then.
        drawn = [source.metrics, source.knobs, source.evaluations, source.events, *others]
        is_drawn = len(self._drawn) == len(drawn) and self._source is source
        if is_drawn and all(a is b for a, b in zip(drawn, self._drawn, strict=True)):
            return
        if self._source is not None and self._source.run.path != source.run.path:
            # Marks and stretches of another run.
            self.timeline.picked = []
            self.timeline.interval = []
        self._source = source
        self._marks = marks_of(source, self._diagnoses.of(source), others)
        with self.timeline.hold_sync():
            set_if_changed(self.timeline, "last", source.last_step)
            set_if_changed(self.timeline, "live", source.live)
            set_if_changed(self.timeline, "marks", [mark.packed() for mark in self._marks])
            set_if_changed(self.timeline, "kept", spans_of(source.kept_steps("samples")))
        self._describe()
        self._drawn = drawn
        self.settled()

    def _describe(self) -> None:
        """Say what there is to say of the marks that are chosen."""
        keys = set(self.timeline.picked)
        chosen = [mark for mark in self._marks if mark.key in keys]
        detail = ""
        if self._source is not None and chosen:
            detail = details_html(self._source, chosen, self._marks)
        set_if_changed(self.timeline, "detail", detail)


def _tie(
    line: Timeline,
    trait: str,
    control: widgets.Widget,
    name: str,
    turned: Callable[[Any], Any] = lambda value: value,
) -> None:
    """Keep a trait of the line and one of a control the same, whoever moves which. `turned` leads
    from either to the other."""

    # What holds now, not what the change said: another who heard of it first may have set it back,
    # and the two would go on contradicting each other.
    def to_line(change: dict[str, Any]) -> None:
        set_if_changed(line, trait, turned(getattr(control, name)))

    def to_control(change: dict[str, Any]) -> None:
        set_if_changed(control, name, turned(getattr(line, trait)))

    setattr(line, trait, turned(getattr(control, name)))
    control.observe(to_line, name)
    line.observe(to_control, trait)
