"""What a trainer hands to the run record: one `StepRecord` per step, made of plain values and numpy
arrays.

Arrays may be anything that `numpy.asarray` takes (a CPU tensor, too); nothing here imports torch. B
= N x G completions, row i belongs to prompt i // G; K reward functions; steps count from 1, and
step 0 is what came before.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.runs.sampled_evaluation import SampledEvaluation
from workbench.runs.store.arrays import row_lengths
from workbench.runs.store.schema import MAX_METRICS, number

RESERVED = ("ids", "lengths", "mask")


@dataclass(frozen=True)
class KnobChange:
    """A live field that changed: `new` is in force from the step whose record holds this. Times are
    Unix seconds."""

    name: str
    old: Any
    new: Any
    who: str = "user"
    time: float = field(default_factory=clock.time)


@dataclass(frozen=True)
class Evaluation:
    """`correct` of `n` problems of a split, with the interval [low, high] of the accuracy (NaN =
    none was computed)."""

    split: str
    n: int
    correct: int
    low: float = float("nan")
    high: float = float("nan")
    extra: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=clock.time)

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.n:
            raise ValueError(
                f"evaluation of {self.split!r}: correct={self.correct} must lie between 0 and "
                f"n={self.n}."
            )

    @property
    def accuracy(self) -> float:
        """correct / n; NaN for no problem."""
        return self.correct / self.n if self.n else float("nan")


@dataclass(frozen=True)
class Event:
    """Something that happened: kind 'notice', 'warning', 'error', 'checkpoint' or any other word;
    `data` is JSON."""

    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=clock.time)


SAMPLE_DTYPES: dict[str, type[Any]] = {
    "rewards_BK": float,
    "reward_B": float,
    "advantage_B": float,
    "baseline_B": float,
    "length_B": np.int32,
    "truncated_B": bool,
    "dead_N": bool,
}
OF_EACH_GROUP = ("prompts", "gold_answers", "dead_N")
OF_EACH_COMPLETION = (
    "completions",
    "rewards_BK",
    "reward_B",
    "advantage_B",
    "baseline_B",
    "length_B",
    "truncated_B",
)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The completions of one step, by column. Raises ValueError when the sizes do not fit."""

    num_generations: int
    """G, completions for each prompt."""

    problem_ids: Sequence[str]
    """N texts."""

    prompts: Sequence[str]
    """N texts."""

    gold_answers: Sequence[str | None]
    """N texts, None where a problem has no gold answer."""

    completions: Sequence[str]
    """B texts."""

    rewards_BK: Any
    """Each function's reward; NaN: not scored."""

    reward_B: Any
    """The weighted total."""

    advantage_B: Any
    """What the loss used; with per-token advantages their mean, and the tokens' floats hold them as
    'advantage'."""

    baseline_B: Any
    """What was subtracted from the reward."""

    length_B: Any
    """Sampled tokens."""

    truncated_B: Any
    """True where no end token came in time."""

    dead_N: Any
    """True where all rewards of the group are equal."""

    def __post_init__(self) -> None:
        for name, dtype in SAMPLE_DTYPES.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        if self.rewards_BK.ndim != 2:
            raise ValueError(
                f"rewards_BK has shape {self.rewards_BK.shape}: expected (completions, reward "
                "functions)."
            )
        self._check_lengths()

    def _check_lengths(self) -> None:
        groups = len(self.problem_ids)
        for name in OF_EACH_GROUP:
            _check_length(name, getattr(self, name), groups, "one per problem id")
        rows = groups * self.num_generations
        expected = f"{groups} problems x num_generations={self.num_generations}"
        for name in OF_EACH_COMPLETION:
            _check_length(name, getattr(self, name), rows, expected)


@dataclass(frozen=True)
class TokenArrays:
    """Every sampled token of a step, rows one after another without padding."""

    lengths: Any
    """int32 (B,): tokens of each row."""

    ids: Any
    """int32 (sum of lengths,)."""

    floats: Mapping[str, Any] = field(default_factory=dict)
    """Name to float32 of the size of `ids`. The names that the views know: sampler_logp (the
    engine's), old_logp (the trainer's before the first update), ref_logp, logp (when the row was
    last used), entropy, advantage."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", np.asarray(self.lengths, dtype=np.int32))
        object.__setattr__(self, "ids", np.asarray(self.ids, dtype=np.int32))
        object.__setattr__(
            self, "floats", {k: np.asarray(v, dtype=np.float32) for k, v in self.floats.items()}
        )
        if taken := [name for name in self.floats if name in RESERVED]:
            raise ValueError(
                f"floats may not be called {taken[0]!r}: that name is taken. Rename it."
            )
        if (self.lengths < 0).any():
            raise ValueError(
                f"lengths must not be negative: {self.lengths.min()} in row "
                f"{self.lengths.argmin()}."
            )
        for name, flat in {"ids": self.ids, **self.floats}.items():
            if flat.shape != (self.lengths.sum(),):
                raise ValueError(
                    f"{name} has shape {flat.shape}: the lengths ask for ({self.lengths.sum()},)."
                )

    @classmethod
    def from_padded(cls, ids_BT: Any, mask_BT: Any, **floats_BT: Any) -> TokenArrays:
        """From right-padded (B, T) arrays; `mask_BT` is True on every sampled token. Raises
        ValueError."""
        mask_BT = np.asarray(mask_BT, dtype=bool)
        lengths_B = row_lengths(mask_BT)
        wrong = {
            k: np.shape(v)
            for k, v in {"ids_BT": ids_BT, **floats_BT}.items()
            if np.shape(v) != mask_BT.shape
        }
        if wrong:
            raise ValueError(f"{wrong}: these shapes differ from that of mask_BT, {mask_BT.shape}.")
        flat = {name: np.asarray(values)[mask_BT] for name, values in floats_BT.items()}
        return cls(lengths_B, np.asarray(ids_BT)[mask_BT], flat)


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """All that one step leaves behind. `metrics` are numbers by name; phase times are
    `seconds/rollout` and so on.

    `samples` and `tokens` may be None when they are not kept; `knobs` are the changes that took
    effect at this step.
    """

    step: int
    metrics: Mapping[str, float]
    samples: Samples | None = None
    tokens: TokenArrays | None = None
    knobs: Sequence[KnobChange] = ()
    evaluations: Sequence[Evaluation] = ()
    sampled_evaluations: Sequence[SampledEvaluation] = ()
    events: Sequence[Event] = ()
    time: float = field(default_factory=clock.time)

    def __post_init__(self) -> None:
        if isinstance(self.step, bool) or not isinstance(self.step, int) or self.step < 1:
            raise ValueError(f"step={self.step!r}: steps are whole numbers from 1.")
        if len(self.metrics) > MAX_METRICS:
            raise ValueError(
                f"step {self.step}: {len(self.metrics)} metrics, at most {MAX_METRICS} are kept."
            )
        object.__setattr__(
            self, "metrics", {k: number(v, f"metric {k!r}") for k, v in self.metrics.items()}
        )
        same = (
            self.samples is None
            or self.tokens is None
            or np.array_equal(self.samples.length_B, self.tokens.lengths)
        )
        if not same:
            raise ValueError(
                f"step {self.step}: samples.length_B and tokens.lengths differ. Both count "
                "sampled tokens."
            )


def _check_length(name: str, values: Any, expected: int, why: str) -> None:
    if len(values) != expected:
        raise ValueError(f"{name} has {len(values)} entries, expected {expected} ({why}).")
