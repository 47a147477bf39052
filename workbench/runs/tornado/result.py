"""The branches of a counterfactual tornado, and what they say of each knob."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.runs.tornado.band import Band, band_of

MEASURES = {
    "reward": "mean total reward of sampled answers",
    "kl": "KL to the reference, nats a token",
    "entropy": "entropy of the policy, nats a token",
    "accuracy": "greedy strict accuracy",
}
"""What is measured after the last step of each branch, with its meaning. All of it is of the same
held-out problems, sampled with the same random numbers and the run's own sampling settings."""

CHANCE, SAME, BEYOND, FAILED = "chance", "same", "beyond", "failed"
VERDICTS = {
    CHANCE: "cannot be told from chance",
    SAME: "changes nothing, bit for bit",
    BEYOND: "more than chance",
    FAILED: "broke the training",
}
"""What can be said of an effect, in words."""


@dataclass(frozen=True)
class Branch:
    """k steps that were made from the same state, with one thing changed."""

    kind: str
    """'base' (nothing changed), 'seed' (another sampling seed) or 'knob'."""

    knob: str = ""
    """The field that was changed; empty for the others."""

    side: str = ""
    """'down' or 'up'."""

    before: Any = None
    """The knob's value without the change."""

    value: Any = None
    """Its value in this branch."""

    seed: int | None = None
    """The sampling seed, where that was changed."""

    measures: Mapping[str, float] = field(default_factory=dict)
    """MEASURES after the last step; empty where a step failed. `kl` is missing where the run
    measures none."""

    steps: list[dict[str, float]] = field(default_factory=list)
    """The figures of each step, as a record would hold them."""

    error: str = ""
    """Why the training broke off: a number that is not finite."""

    shared_rollouts: int = 0
    """Rollouts that another branch had sampled from the same weights with the same random numbers,
    and that were taken over instead of being sampled again, bit for bit."""

    @property
    def name(self) -> str:
        """In a few words."""
        if self.kind == "knob":
            return f"{self.knob} {self.side}"
        return "base" if self.kind == "base" else f"seed {self.seed}"


@dataclass(frozen=True)
class TornadoResult:
    """Every knob moved down and up for some steps, from one state of a run."""

    run: str
    """The run's name."""

    step: int
    """The step after which the branches begin."""

    steps: int
    """Steps that each branch made."""

    problems: int
    """Held-out problems that were asked after them."""

    branches: list[Branch]
    """The base first, then those of other seeds, then those of the knobs."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Knobs of the usual ones that were not moved, with the reason."""

    fingerprint: Mapping[str, float] = field(default_factory=dict)
    """Figures of the step in the record, by which a later reader knows whether the run still has
    that past."""

    seconds: float = 0.0
    """Wall-clock seconds of it all."""

    path: Path | None = field(default=None, compare=False)
    """The file that it was read from or written to."""

    @property
    def base(self) -> Branch:
        """The branch in which nothing was changed."""
        return next(branch for branch in self.branches if branch.kind == "base")

    @property
    def measures(self) -> list[str]:
        """What was measured of the base and of another seed at least, in the order of the picture.
        Without the latter nothing tells an effect from chance."""
        return [
            name
            for name in MEASURES
            if math.isfinite(self.base.measures.get(name, math.nan)) and self._of_seeds(name)
        ]

    def _of_seeds(self, measure: str) -> list[float]:
        """A measure of those branches of other seeds that came to one: training may break off in
        one of them, and rewards may score nothing."""
        found = [branch.measures.get(measure, math.nan) for branch in self.seeds]
        return [value for value in found if math.isfinite(value)]

    @property
    def seeds(self) -> list[Branch]:
        """The branches of other sampling seeds."""
        return [branch for branch in self.branches if branch.kind == "seed"]

    @property
    def knobs(self) -> list[str]:
        """The knobs, in the order in which they were moved."""
        moved = [branch.knob for branch in self.branches if branch.kind == "knob"]
        return list(dict.fromkeys(moved))

    def of(self, knob: str) -> list[Branch]:
        """The branches of a knob: down, up, or the one of them that there is."""
        return [branch for branch in self.branches if branch.knob == knob]

    @cached_property
    def bands(self) -> dict[str, Band]:
        """Measure -> where a run of another seed lies, as a difference to the base."""
        found = {}
        for name in self.measures:
            own = self.base.measures[name]
            others = [value - own for value in self._of_seeds(name)]
            # One answer more or less: several seeds may happen to give the same share.
            resolution = 1 / self.problems if name == "accuracy" else 0.0
            found[name] = band_of([0.0, *others], resolution)
        return found

    def effect(self, branch: Branch, measure: str) -> float:
        """What the change did to a measure: its value less the base's; NaN where a step failed."""
        return branch.measures.get(measure, float("nan")) - self.base.measures[measure]

    def verdict(self, branch: Branch, measure: str) -> str:
        """A key of VERDICTS."""
        if branch.error:
            return FAILED
        # Not by this measure alone: greedy answers may stay the same while the policy moved.
        if branch.measures == self.base.measures and branch.steps == self.base.steps:
            return SAME
        effect = self.effect(branch, measure)
        # What is not known is no finding.
        is_chance = math.isnan(effect) or self.bands[measure].holds(effect)
        return CHANCE if is_chance else BEYOND

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each knob, side and measure: values before and in the branch, the effect, the
        band of a seed change alone, and the verdict."""
        rows = [
            self._row(branch, measure)
            for branch in self.branches
            if branch.kind == "knob"
            for measure in self.measures
        ]
        return pd.DataFrame(rows)

    def _row(self, branch: Branch, measure: str) -> dict[str, Any]:
        band = self.bands[measure]
        return {
            "knob": branch.knob,
            "side": branch.side,
            "before": branch.before,
            "value": branch.value,
            "measure": measure,
            "base": self.base.measures[measure],
            "effect": self.effect(branch, measure),
            "band_low": band.low,
            "band_high": band.high,
            "verdict": self.verdict(branch, measure),
        }

    @property
    def steps_frame(self) -> pd.DataFrame:
        """The figures of every step of every branch, a row each."""
        rows = [
            {"branch": branch.name, "step": self.step + place, **figures}
            for branch in self.branches
            for place, figures in enumerate(branch.steps, start=1)
        ]
        return pd.DataFrame(rows)

    def picture(self) -> Any:
        """The bars as a still picture (an `IPython.display.SVG`), on white paper."""
        from IPython.display import SVG

        from workbench.runs.tornado.picture import still

        return SVG(still(self))  # type: ignore[no-untyped-call]  # IPython's is not typed

    def _repr_html_(self) -> str:
        """What a cell shows: the bars, what they say, and the table of the same."""
        from workbench.runs.tornado.words import as_html

        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the place of the file."""
        values = asdict(self)
        del values["path"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TornadoResult:
        """What `to_dict` gave. Raises TypeError, KeyError for anything else."""
        branches = [Branch(**branch) for branch in values["branches"]]
        return cls(**{**values, "branches": branches})
