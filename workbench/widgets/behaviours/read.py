"""The kinds of the steps of a run, read a few steps at a time and kept."""

from __future__ import annotations

import time

import numpy as np

from workbench.runs import RunRecordError
from workbench.widgets.base.source import RunSource
from workbench.widgets.behaviours.kinds import StepKinds, kinds_of

MOST_STEPS = 128
"""Steps in the picture, spread evenly over those that were kept."""
EMPTY = np.zeros(0)
SECONDS = 0.02
"""What reading may take at each drawing while the run goes on; the rest comes with the next."""


class KindsRead:
    """`steps` has what was read of the run last given to `read`."""

    def __init__(self) -> None:
        self.steps: dict[int, StepKinds] = {}
        self._of: tuple[object, ...] = ()

    def read(self, source: RunSource) -> list[int]:
        """Read on; the steps that are still to be read, of those that belong into the picture."""
        state = (source.run.path, source.run.position()[0])
        if state != self._of:
            # Another run, or one that was cut back and went on otherwise.
            self.steps = {}
            self._of = state
        task = source.run.meta.task
        wanted = spread(source.kept_steps("samples"), MOST_STEPS)
        missing = [step for step in wanted if step not in self.steps]
        end = time.monotonic() + (SECONDS if source.status == "running" else float("inf"))
        # The newest first: they are what a person waits for.
        while missing:
            step = missing.pop()
            try:
                self.steps[step] = kinds_of(source.run.samples(step), task)
            except RunRecordError:
                # Damaged: the Doctor and the other pages name it. The picture has a step less.
                self.steps[step] = StepKinds([], EMPTY)
            if time.monotonic() > end:
                break
        self.steps = {step: self.steps[step] for step in wanted if step in self.steps}
        return missing


def spread(steps: list[int], most: int) -> list[int]:
    """At most about `most` of the steps, evenly: every second, fourth, eighth …, so that a growing
    run keeps those that were read; and the last one."""
    stride = 1
    while len(steps) / stride > most:
        stride *= 2
    chosen = steps[::stride]
    return chosen if not steps or chosen[-1] == steps[-1] else [*chosen, steps[-1]]
