"""What the runs of an experiment came to, read from their records."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.experiment.statistics import Interval, mean_interval, next_value
from workbench.experiment.store import Plan, made_otherwise
from workbench.experiment.variants import ExperimentError, Variant, run_folder
from workbench.runs import Run, is_run_record

ACCURACY = "accuracy"
TAIL = 0.1
"""Share of the steps, from the end, over which a metric other than the accuracy is averaged."""


@dataclass(frozen=True)
class Outcome:
    """One run, as far as it is."""

    variant: str
    seed: int
    folder: Path

    status: str
    """As `RunMeta.status`."""

    steps: tuple[int, ...]
    curve: tuple[float, ...]
    """What is compared, at each of those steps: the accuracy where it was evaluated, a metric at
    every step."""

    value: float | None
    """What is compared at the end; None while the run is not finished, and where it has no such
    figure there (or NaN)."""

    problems: int
    """Held-out problems of an evaluation."""

    seconds_per_step: float | None

    steered: str
    """In what the run is not what the experiment's file says: it was made for another one, or a
    knob was moved by hand; empty where it is."""


@dataclass(frozen=True)
class Row:
    """A variant, or a control, with all its seeds."""

    variant: Variant

    outcomes: tuple[Outcome, ...]
    """A run each, in the order of the seeds."""

    resolution: float
    """The step in which the values are measured; 0 = not known."""

    interval: str
    level: float

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def values(self) -> dict[int, float]:
        """seed -> value, of the finished runs."""
        return {o.seed: o.value for o in self.outcomes if o.value is not None}

    @property
    def starts(self) -> dict[int, float]:
        """seed -> what it was before the first step (or in the first), of the finished runs."""
        return {o.seed: o.curve[0] for o in self.outcomes if o.value is not None}

    @property
    def mean(self) -> Interval:
        """Over the seeds."""
        return self._interval(list(self.values.values()))

    @property
    def gain(self) -> Interval:
        """End less start, over the seeds."""
        starts = self.starts
        return self._interval([value - starts[seed] for seed, value in self.values.items()])

    @property
    def band(self) -> tuple[float, float]:
        """Where one more run of it would end with the probability `level`."""
        low, high = next_value(list(self.values.values()), self.level, self.resolution)
        # A resolution is known of shares, which end at 0 and 1.
        return (max(low, 0.0), min(high, 1.0)) if self.resolution else (low, high)

    def _interval(self, values: Sequence[float]) -> Interval:
        return mean_interval(values, self.level, self.interval, self.resolution)

    @property
    def curve(self) -> list[tuple[int, float, float, float]]:
        """(step, mean, lowest, highest) over the seeds, where at least one run has that step."""
        found: dict[int, list[float]] = {}
        for outcome in self.outcomes:
            for step, value in zip(outcome.steps, outcome.curve, strict=True):
                found.setdefault(step, []).append(value)
        return [
            (step, statistics.fmean(found[step]), min(found[step]), max(found[step]))
            for step in sorted(found)
        ]


def rows_of(out: Path, plan: Plan) -> list[Row]:
    """All variants and controls, with what there is of their runs."""
    made = [
        (variant, [_outcome(out, variant, seed, plan.metric) for seed in plan.seeds])
        for variant in plan.variants
    ]
    return [
        Row(
            variant=variant,
            outcomes=tuple(found),
            resolution=_resolution(found, plan.metric),
            interval=plan.interval,
            level=plan.level,
        )
        for variant, found in made
    ]


def _resolution(outcomes: Sequence[Outcome], metric: str) -> float:
    problems = max((outcome.problems for outcome in outcomes), default=0)
    return 1 / problems if metric == ACCURACY and problems else 0.0


def _outcome(out: Path, variant: Variant, seed: int, metric: str) -> Outcome:
    folder = run_folder(out, variant, seed)
    nothing = Outcome(variant.name, seed, folder, "waiting", (), (), None, 0, None, "")
    if not is_run_record(folder / "run.sqlite"):
        return nothing
    run = Run.open(folder)
    status = run.meta.status
    evaluations = run.evaluations()
    table = run.steps()
    if metric == ACCURACY:
        steps, curve = evaluations["step"], evaluations["accuracy"]
    elif metric in table:
        steps, curve = table["step"], table[metric]
    elif status == "finished":
        raise ExperimentError(
            f"metric {metric!r:.40} is none that the run {str(folder)!r} recorded. Choose "
            f"{ACCURACY!r} or one of {', '.join(map(str, table.columns[2:]))}."
        )
    else:
        # Some are first recorded in a later step.
        return replace(nothing, status=status)
    value = None
    if status == "finished" and len(curve):
        last = int(run.last_step())
        # The accuracy is that of the last step alone.
        first = last if metric == ACCURACY else last - max(round(TAIL * last), 1) + 1
        tail = curve[steps >= first]
        value = float(tail.mean()) if tail.notna().any() else None
    return Outcome(
        variant=variant.name,
        seed=seed,
        folder=folder,
        status=status,
        steps=tuple(int(step) for step in steps),
        curve=tuple(float(number) for number in curve),
        value=value,
        problems=int(evaluations["n"].iloc[-1]) if len(evaluations) else 0,
        seconds_per_step=float(table["seconds/step"].median()) if len(table) else None,
        steered=made_otherwise(run, variant) or _steered(run),
    )


def _steered(run: Run) -> str:
    knobs: Any = run.knobs()
    if not len(knobs):
        return ""
    first = knobs.iloc[0]
    return f"{first['name']} was changed to {first['new']} at step {int(first['step'])} by hand"
