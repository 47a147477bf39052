"""Draw it first: sketch how a curve will go, run, and see both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from workbench.runs import Run
from workbench.widgets.base.lab import Lab, fixed
from workbench.widgets.by_hand.chart import Curve, HandChart, Handle, Picture

if TYPE_CHECKING:
    from workbench.training.session import Session

RANGES = {
    "held_out": ("accuracy on problems held out", 0.0, 1.0),
    "reward": ("mean reward", 0.0, 2.0),
    "kl": ("KL to the reference, nats per token", 0.0, 0.2),
    "entropy": ("entropy, nats per token", 0.0, 2.0),
    "clip_ratio_region": ("share of tokens clipped", 0.0, 0.2),
}
"""Quantity -> in words, and the axis that it is drawn on unless `low` and `high` say otherwise."""
PLACES = 17
"""Points of a sketch."""


class DrawFirst(Lab):
    """Sketch how `quantity` will go over `steps` steps; `reveal(run)` draws what happened beside it
    and says how far off the sketch was.

    `quantity` is "held_out" (the evaluations) or a metric of the record; `low` and `high` are the
    ends of the axis. A pointer draws; by keyboard each point moves with the arrow keys. `sketch` is
    what was drawn, (step, value). Raises ValueError for an axis or a number of steps that cannot
    be.
    """

    heading = "Draw it first"
    lead = (
        "How will the curve go? Draw it over the picture (or Tab to a point and use the arrow "
        "keys), then run, then compare."
    )

    def __init__(
        self,
        quantity: str = "held_out",
        steps: int = 32,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        words, usual_low, usual_high = RANGES.get(quantity, (quantity, 0.0, 1.0))
        self.quantity = quantity
        self.words = words
        self.steps = steps
        self.low = usual_low if low is None else low
        self.high = usual_high if high is None else high
        if steps < 2:
            raise ValueError(f"DrawFirst(steps={steps}): a curve needs at least 2 steps.")
        if not self.low < self.high:
            raise ValueError(
                f"DrawFirst(low={self.low:g}, high={self.high:g}): low must be below high."
            )
        self.run: Run | None = None
        self._places = np.linspace(0, steps, min(PLACES, steps + 1))
        middle = (self.low + self.high) / 2
        self._drawn = {str(i): middle for i in range(len(self._places))}
        self.hand = HandChart(self._moved, label=f"sketch of the {words}", height=260)
        super().__init__()

    @property
    def sketch(self) -> list[tuple[float, float]]:
        """What was drawn."""
        return [(float(x), self._drawn[str(i)]) for i, x in enumerate(self._places)]

    def reveal(self, run: Run | Session | str | Path) -> DrawFirst:
        """Draw what happened beside the sketch: a run, its session, or the path of its record."""
        found: Any = getattr(run, "run", run)
        self.run = found if isinstance(found, Run) else Run.open(found)
        self.update()
        return self

    def controls(self) -> Sequence[widgets.Widget]:
        return []

    def pictures(self) -> Sequence[widgets.Widget]:
        return [self.hand]

    def _moved(self, values: dict[str, float]) -> None:
        self._drawn |= values
        self.update()

    def refresh(self) -> tuple[str, str]:
        step, value = self._happened()
        last = max(float(self.steps), float(step.max(initial=0)))
        # What happened may leave the axis that was drawn on.
        low = min(self.low, float(value.min(initial=self.low)))
        high = max(self.high, float(value.max(initial=self.high)))
        sketched = [self._drawn[str(i)] for i in range(len(self._places))]
        curves = [
            Curve(name="your sketch", x=self._places.tolist(), y=sketched, dashed=True, named=True)
        ]
        if len(step):
            happened = Curve(
                name="what happened", x=step.tolist(), y=value.tolist(), kind="negative", named=True
            )
            curves.append(happened)
        summary = self._said(step, value)
        picture = Picture(
            x=(0.0, last),
            y=(low, high),
            x_label="step",
            y_label=self.words,
            curves=curves,
            handles=[self._handle(i, float(x)) for i, x in enumerate(self._places)],
            summary=summary,
            sketch=True,
        )
        self.hand.show(picture, self._drawn)
        return summary, ""

    def _handle(self, place: int, x: float) -> Handle:
        return Handle(
            id=str(place),
            name=f"{self.words} at step {x:.3g}",
            low=self.low,
            high=self.high,
            step=(self.high - self.low) / 100,
            shape="dot",
            at=x,
        )

    def _happened(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of the run; none before `reveal`."""
        nothing = np.array([])
        if self.run is None:
            return nothing, nothing
        if self.quantity == "held_out":
            table = self.run.evaluations()
            if len(table):
                table = table[table["split"] == table["split"].iloc[0]]
            column = "accuracy"
        else:
            table = self.run.steps()
            column = self.quantity
        if not len(table) or column not in table:
            raise ValueError(
                f"{self.run.meta.name!r} has no {self.words} to compare with: it was not measured "
                "in that run. Sketch another quantity."
            )
        kept = table[["step", column]].dropna()
        return kept["step"].to_numpy(float), kept[column].to_numpy(float)

    def _said(self, step: np.ndarray, value: np.ndarray) -> str:
        if not len(step):
            return f"Your sketch of the {self.words}; nothing has run yet."
        drawn = [value for _, value in self.sketch]
        sketched = np.interp(step, self._places, drawn)
        gap = sketched - value
        worst = int(np.abs(gap).argmax())
        side = "too high" if gap[worst] > 0 else "too low"
        return (
            f"Your sketch was off by {fixed(float(np.abs(gap).mean()), 3)} on average; farthest at "
            f"step {step[worst]:.0f}, {fixed(float(abs(gap[worst])), 3)} {side}. It ended at "
            f"{fixed(float(value[-1]), 3)}, you drew {fixed(float(sketched[-1]), 3)}."
        )
