"""What the rules look at: a run as it stood after one step, as columns and windows. Needs no torch
and no widget."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from workbench.config import METHODS, MethodFacts
from workbench.doctor.audit import StepAudit, StepTexts, audit_of, texts_of
from workbench.doctor.finding import percent
from workbench.doctor.statistics import Change, change
from workbench.doctor.thresholds import AUDITED_STEPS, RECENT_SAMPLES, WINDOW
from workbench.runs import DamagedError, Run, RunMeta, RunWarning

if TYPE_CHECKING:
    import pandas as pd


GROUP_METHODS = ("grpo", "dpo", "rloo", "reinforce_pp_baseline", "iterative_grpo")
"""Methods whose coefficients are differences within a group of rewards."""

UNPAID_METHODS = ("sft", "process_grpo", "distill")
"""Methods whose coefficients come from elsewhere than the reward functions."""

TABLES = ("metrics", "knobs", "evaluations", "events")


class Source(Protocol):
    """A run whose tables were read already, as a dashboard keeps them."""

    run: Run
    metrics: pd.DataFrame
    knobs: pd.DataFrame
    evaluations: pd.DataFrame
    events: pd.DataFrame


@dataclass(frozen=True)
class StepSamples:
    """The numbers of one step's samples, without the texts. N groups of G completions, K reward
    functions."""

    step: int

    rewards_NGK: np.ndarray
    """Each function's reward; NaN: not scored."""

    reward_NG: np.ndarray
    """The weighted total."""

    truncated_NG: np.ndarray
    """True where no end token came in time."""

    dead_N: np.ndarray
    """True where all rewards of the group are equal."""


@dataclass(frozen=True)
class Evaluated:
    """A held-out evaluation with its 95 % interval."""

    step: int

    n: int
    """Problems that were asked."""

    accuracy: float

    low: float
    high: float
    """Ends of the interval."""

    def __str__(self) -> str:
        return (
            f"{percent(self.accuracy)} ({percent(self.low)} to {percent(self.high)}, "
            f"n={self.n}) at step {self.step}"
        )


@dataclass(frozen=True)
class Facts:
    """A run as it stood after `step`: every table ends there, and that of knobs apart, which are in
    force from before, begins at `since`."""

    run: Run
    meta: RunMeta
    step: int

    since: int
    """The first step that is looked at; 1 for the whole run."""

    newest: bool
    """Whether `step` is the last of the record."""

    metrics: pd.DataFrame
    knobs: pd.DataFrame
    evaluations: pd.DataFrame
    events: pd.DataFrame

    imported: str | None
    """The trainer whose files the record was made of; None for a run that wrote its own."""

    @classmethod
    def of(
        cls, source: Run | str | Path | Source, step: int | None = None, since: int = 1
    ) -> Facts:
        """Read `source` as of `step` (None = its newest), from `since` on. Raises ValueError for a
        step that is not there."""
        if isinstance(source, (str, Path)):
            source = Run.open(source)
        run = source if isinstance(source, Run) else source.run
        tables = (
            _read(run)
            if isinstance(source, Run)
            else {name: getattr(source, name) for name in TABLES}
        )
        last = int(tables["metrics"]["step"].iloc[-1]) if len(tables["metrics"]) else 0
        step = last if step is None else step
        if not 0 <= step <= last:
            raise ValueError(
                f"step {step!r} is not in the record of {run.meta.name!r}, which ends at step "
                f"{last}."
            )
        if since != 1 and not 1 <= since <= step:
            raise ValueError(f"since={since!r}: it must be from 1 to step {step}.")
        cut = {name: frame[frame["step"] <= step] for name, frame in tables.items()}
        if since > 1:
            # What a step was evaluated to be is where the next one begins.
            firsts = {"metrics": since, "evaluations": since - 1, "events": since}
            for name, first in firsts.items():
                cut[name] = cut[name][cut[name]["step"] >= first]
        return cls(
            run=run,
            meta=run.meta,
            step=step,
            since=since,
            newest=step == last,
            imported=_source_of(tables["events"]),
            **cut,
        )

    # ------------------------------------------------------------ settings

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings in force at the step."""
        return self.meta.config | dict(zip(self.knobs["name"], self.knobs["new"], strict=True))

    @cached_property
    def method(self) -> MethodFacts:
        """What is known about the method that the run was made with; a record of an earlier version
        is of GRPO."""
        return METHODS.get(str(self.config.get("method", "grpo")), METHODS["grpo"])

    @property
    def imitates(self) -> bool:
        """Whether the completions were given: their rewards and lengths are the data's, not the
        policy's."""
        return self.method.sampled_from == "demonstrations"

    @property
    def compares_groups(self) -> bool:
        """Whether a group of equal rewards teaches nothing."""
        return self.config.get("method", "grpo") in GROUP_METHODS

    @property
    def rewards_teach(self) -> bool:
        """Whether the coefficients come from the rewards; else they are recorded beside."""
        return self.config.get("method", "grpo") not in UNPAID_METHODS

    @property
    def pull(self) -> str:
        """What holds the policy to its reference, as a sentence names it with its value."""
        for name in ("kl_coef", "dpo_beta"):
            if name in self.method.reads:
                return f"{name} (now {self.config.get(name)})"
        if "beta" in self.method.settings:
            return f"beta (which method={self.config.get('method')!r} holds at 0)"
        return f"beta (now {self.config.get('beta')})"

    @property
    def engine(self) -> str | None:
        """The engine that sampled, which need not be the one that the config asked for; None where
        the run has no such notion."""
        served = self.meta.environment.get("rollout_engine", self.config.get("rollout_engine"))
        return None if served is None else str(served)

    @property
    def updates(self) -> int | None:
        """Optimizer updates made from one rollout batch; None where the run has no such notion."""
        parts = self.config.get("updates_per_rollout")
        passes = self.config.get("num_iterations")
        return None if parts is None or passes is None else int(parts * passes)

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weight of each reward function."""
        names = self.meta.reward_names
        return dict(
            zip(names, self.config.get("reward_weights") or [1.0] * len(names), strict=True)
        )

    # ------------------------------------------------------------ curves

    @cached_property
    def steps(self) -> np.ndarray:
        """The numbers of the steps."""
        return np.asarray(self.metrics["step"])

    def column(self, name: str) -> np.ndarray:
        """A metric at every step, NaN where it is absent."""
        if name not in self.metrics:
            return np.full(len(self.metrics), np.nan)
        return np.asarray(self.metrics[name], dtype=float)

    def values(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """The finite values of a metric in some rows, all of them unless said."""
        part = self.column(name)[rows]
        finite: np.ndarray = part[np.isfinite(part)]
        return finite

    def recent(self, name: str, size: int = WINDOW) -> np.ndarray:
        """Its finite values in the last steps; none when it is not measured any more."""
        return self.values(name, slice(-size, None))

    def median(self, name: str, size: int = WINDOW) -> float:
        """Its median over the last steps; NaN when there is none."""
        values = self.recent(name, size)
        return float(np.median(values)) if len(values) else float("nan")

    def recent_span(self, size: int = WINDOW) -> np.ndarray:
        """The last steps."""
        return self.steps[-size:]

    def drift(self, name: str, size: int = WINDOW) -> Change | None:
        """The first steps against the last; None for a run of less than two windows."""
        values = self.values(name)
        return change(values[:size], values[-size:]) if len(values) >= 2 * size else None

    def progress(self, name: str) -> Change | None:
        """How a metric moved over the whole run: its first third against its last, or, where that
        does not tell, its first window against its last. None for a run of less than two
        windows."""
        values = self.values(name)
        third = max(len(values) // 3, WINDOW)
        quick = self.drift(name)
        if quick is None:
            return None
        slow = change(values[:third], values[-third:])
        return slow if slow is not None and (slow.up or slow.down) else quick

    @cached_property
    def spread(self) -> float:
        """The usual std of the reward inside a group that is not dead; NaN where there was none."""
        spread = self.column("reward_std")
        dead = self.column("dead_group_share")
        alive = np.isfinite(spread) & (dead < 1)
        return float(np.median(spread[alive] / (1 - dead[alive]))) if alive.any() else float("nan")

    # ------------------------------------------------------------ evaluations

    @cached_property
    def held_out(self) -> list[Evaluated]:
        """The evaluations of the split that was evaluated first, those with an interval, in
        order."""
        rows = list(self.evaluations.itertuples())
        rows = [
            row for row in rows if row.split == rows[0].split and row.n > 0 and row.high >= row.low
        ]
        return [
            Evaluated(int(row.step), int(row.n), row.accuracy, row.low, row.high) for row in rows
        ]

    @property
    def accuracy_now(self) -> Evaluated | None:
        """The newest evaluation where it speaks of the last steps; None where it is older."""
        last = self.held_out[-1] if self.held_out else None
        return last if last is not None and last.step > max(self.step - WINDOW, 0) else None

    @property
    def accuracy_fall(self) -> tuple[Evaluated, Evaluated] | None:
        """(best evaluation, last one) where their intervals do not overlap and the last is the
        lower; else None."""
        if len(self.held_out) < 2:
            return None
        peak = max(self.held_out, key=lambda evaluation: evaluation.accuracy)
        last = self.held_out[-1]
        return (peak, last) if last.high < peak.low else None

    # ------------------------------------------------------------ samples

    @cached_property
    def recent_samples(self) -> list[StepSamples]:
        """The samples of the last few steps; empty when they were not kept."""
        return self._samples_of([int(s) for s in self.steps[-RECENT_SAMPLES:]])

    @cached_property
    def reward_range(self) -> tuple[float, float] | None:
        """The lowest and the highest reward seen in the last few steps and in steps 1, 2, 4, 8 …"""
        powers = [2**i for i in range(self.step.bit_length())]
        landmarks = [step for step in powers if self.since <= step < self.step]
        seen = [s.reward_NG for s in [*self._samples_of(landmarks), *self.recent_samples]]
        values = np.concatenate([s.ravel() for s in seen]) if seen else np.zeros(0)
        values = values[~np.isnan(values)]
        return (float(values.min()), float(values.max())) if len(values) else None

    @cached_property
    def recent_texts(self) -> list[StepTexts]:
        """The texts of the last few steps; empty when they were not kept."""
        revision, last = self.run.position()
        steps = [int(step) for step in self.steps[-RECENT_SAMPLES:] if step <= last]
        found = [texts_of(str(self.run.path), self.meta.id, revision, step) for step in steps]
        return [texts for texts in found if texts is not None]

    @cached_property
    def audits(self) -> list[StepAudit]:
        """The last few steps token by token; empty where tokens were not kept."""
        revision, last = self.run.position()
        steps = [int(step) for step in self.steps[-AUDITED_STEPS:] if step <= last]
        found = [audit_of(str(self.run.path), self.meta.id, revision, step) for step in steps]
        return [audit for audit in found if audit is not None]

    def _samples_of(self, steps: Sequence[int]) -> list[StepSamples]:
        # A rewind may have taken steps away since the tables were read.
        revision, last = self.run.position()
        found = [
            _samples(str(self.run.path), self.meta.id, revision, step)
            for step in steps
            if step <= last
        ]
        return [s for s in found if s is not None]


def _source_of(events: pd.DataFrame) -> str | None:
    """Of all events of the record, whichever step they stand at."""
    data = [row.data for row in events.itertuples() if row.kind == "import"]
    return str(data[-1].get("source", "another trainer")) if data else None


def _read(run: Run) -> dict[str, pd.DataFrame]:
    return {
        "metrics": run.steps(),
        "knobs": run.knobs(),
        "evaluations": run.evaluations(),
        "events": run.events(),
    }


@lru_cache(maxsize=512)
def _samples(path: str, run_id: str, revision: int, step: int) -> StepSamples | None:
    """The numbers of a step's samples. A recorded step never changes within a revision, so that it
    is read once."""
    run = Run.open(path)
    try:
        frame = run.samples(step)
    # The doctor speaks of the other steps.
    except DamagedError as error:
        warnings.warn(str(error), RunWarning, stacklevel=2)
        return None
    if not len(frame):
        return None
    groups = int(frame["group"].max()) + 1
    by_function = frame[[f"rewards/{name}" for name in run.meta.reward_names]].to_numpy(float)
    return StepSamples(
        step=step,
        rewards_NGK=by_function.reshape(groups, -1, by_function.shape[1]),
        reward_NG=frame["reward"].to_numpy(float).reshape(groups, -1),
        truncated_NG=frame["truncated"].to_numpy(bool).reshape(groups, -1),
        dead_N=frame["dead"].to_numpy(bool).reshape(groups, -1)[:, 0],
    )
