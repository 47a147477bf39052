"""The answer of an experiment: paired differences with intervals, against one another and against
the controls, in words that say no more than the runs can."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from workbench.experiment.notes import notes_of
from workbench.experiment.outcomes import Row, rows_of
from workbench.experiment.plain import result_dict
from workbench.experiment.statistics import Interval, mean_interval, seeds_needed
from workbench.experiment.store import Plan
from workbench.experiment.words import band_words, control_words, difference_words


@dataclass(frozen=True)
class Difference:
    """`of` less `than`, seed by seed: both had the same problems and the same prompts."""

    of: str
    than: str
    by_seed: dict[int, float]
    """Over the seeds of which both have finished."""

    interval: Interval

    level: float
    """Of this interval: wider than the experiment's where there are several of its kind."""

    needed: int | None
    """Seeds that would be needed to tell the two apart four times in five, were this mean and this
    spread the true ones; None where no number would do, or nothing is known yet."""

    to_control: bool
    """Whether `than` is a control."""

    def needed_for(self, difference: float) -> int | None:
        """Seeds that would be needed to see a true mean of `difference` four times in five, with
        the spread that was found."""
        return seeds_needed(difference, self.interval.spread, self.level)

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "cannot tell": the first two where the interval leaves 0 out."""
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "cannot tell"


@dataclass(frozen=True)
class Result:
    """What the finished runs of an experiment say. `str()` of it is a paragraph of sentences."""

    out: Path
    plan: Plan
    rows: tuple[Row, ...]
    """Variants first, controls behind them."""

    def __getitem__(self, name: str) -> Row:
        """The row of a variant or control."""
        return next(row for row in self.rows if row.name == name)

    @property
    def variants(self) -> list[Row]:
        return [row for row in self.rows if row.variant.control is None]

    @property
    def controls(self) -> list[Row]:
        return [row for row in self.rows if row.variant.control is not None]

    @property
    def is_whole(self) -> bool:
        """Whether all runs are finished."""
        return all(outcome.value is not None for row in self.rows for outcome in row.outcomes)

    # ------------------------------------------------------------ differences

    @cached_property
    def differences(self) -> list[Difference]:
        """Every variant against every other one: the one that ends higher first."""
        pairs = []
        for one, other in combinations(self.variants, 2):
            ahead = one.mean.value >= other.mean.value or math.isnan(other.mean.value)
            pairs.append((one, other) if ahead else (other, one))
        return [self._difference(*pair, len(pairs)) for pair in pairs]

    @cached_property
    def against_controls(self) -> list[Difference]:
        """Every variant against each of its controls."""
        pairs = list(self._controlled())
        return [self._difference(*pair, len(pairs), to_control=True) for pair in pairs]

    def difference(self, of: str, than: str) -> Difference:
        """One variant less another, or less a control, by itself: the interval is not widened for
        others beside it."""
        return self._difference(self[of], self[than], 1, bool(self[than].variant.control))

    def _controlled(self) -> Iterator[tuple[Row, Row]]:
        """Variants with their own controls, or else with those that there are."""
        for row in self.variants:
            for control in self.controls_of(row.name):
                yield row, control

    def controls_of(self, name: str) -> list[Row]:
        """What a variant may be held against: its own controls, or else those of the one variant
        that has some."""
        own = [control for control in self.controls if control.variant.control_of == name]
        owners = {control.variant.control_of for control in self.controls}
        if own or len(owners) > 1:
            return own
        # Another's will do where the policy is the same, so that both began alike.
        policy = self[name].variant.policy
        return [control for control in self.controls if control.variant.policy == policy]

    def _difference(self, of: Row, than: Row, family: int, to_control: bool = False) -> Difference:
        theirs = than.values
        by_seed = {s: mine - theirs[s] for s, mine in of.values.items() if s in theirs}
        # Bonferroni: with each at level 1 - alpha / m all m hold together with 1 - alpha, however
        # they hang together.
        level = 1 - (1 - self.plan.level) / max(family, 1)
        interval = mean_interval(
            list(by_seed.values()),
            level,
            self.plan.interval,
            max(of.resolution, than.resolution),
        )
        return Difference(
            of=of.name,
            than=than.name,
            by_seed=by_seed,
            interval=interval,
            level=level,
            needed=seeds_needed(interval.value, interval.spread, level),
            to_control=to_control,
        )

    # ------------------------------------------------------------ the controls' band

    @property
    def control_band(self) -> tuple[float, float]:
        """Where one more control run would end (probability `level`): the hull over all controls.
        NaN without controls, or with one seed."""
        return _hull(self.controls)

    def band_for(self, name: str) -> tuple[float, float]:
        """The same of the controls that a variant may be held against (`controls_of`)."""
        return _hull(self.controls_of(name))

    def above_controls(self, name: str) -> tuple[int, int]:
        """How many runs of a variant end above the band of its controls, of how many."""
        _, high = self.band_for(name)
        values = self[name].values.values()
        return sum(value > high for value in values), len(values)

    # ------------------------------------------------------------ words

    def sentences(self) -> list[str]:
        """What can be said: the variants against one another, each against its controls, what the
        controls did by themselves, and what to keep in mind."""
        said = [difference_words(d, self.plan.metric) for d in self.differences]
        said += [difference_words(d, self.plan.metric) for d in self.against_controls]
        said += [control_words(row, self.plan.metric) for row in self.controls if row.values]
        said += [band_words(self, row) for row in self.variants]
        said += notes_of(self)
        return [words for words in said if words]

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is null."""
        return result_dict(self)


def _hull(controls: Sequence[Row]) -> tuple[float, float]:
    bands = [row.band for row in controls]
    known = [band for band in bands if not math.isnan(band[0])]
    if not known:
        return math.nan, math.nan
    return min(low for low, _ in known), max(high for _, high in known)


def result_of(out: Path, plan: Plan) -> Result:
    """The result of the runs in a folder, as far as they are."""
    return Result(out, plan, tuple(rows_of(out, plan)))
