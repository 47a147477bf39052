"""`RewardSet`: several reward functions with weights, scored together on the completions of one
step."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from workbench.rewards.batch import RewardFunction, ScoringBatch
from workbench.rewards.beside import Beside
from workbench.rewards.calling import RewardError, call_all
from workbench.rewards.parameters import RewardSpecError
from workbench.rewards.resolve import resolve_reward
from workbench.rewards.time_limit import ScoringCancelledError, TimeLimit

__all__ = ["RewardError", "RewardSet", "RewardTable", "RewardWarning", "ScoringCancelledError"]


class RewardWarning(UserWarning):
    """A reward function that works, but probably not the way it was meant."""


@dataclass(frozen=True)
class RewardTable:
    """The rewards of one step."""

    rewards_BK: np.ndarray
    """float32, a column per function; NaN: that function did not score that completion (it said
    None)."""

    names: tuple[str, ...]
    """The K names."""

    extra: Mapping[str, list[Any]] = field(default_factory=dict)
    """Columns with B entries that functions logged with `log_extra`, as in TRL."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers that functions logged with `log_metric`, averaged over the step."""

    def total_B(self, weights: Sequence[float] | None = None) -> np.ndarray:
        """The weighted sum of the functions that scored a completion, float32; NaN where none did.

        Not what a training compares: here a completion that a function left out has the sum of one
        that it gave 0, and `workbench.objective.group_advantages` takes care that it has not.
        """
        weights_K = (
            np.ones(len(self.names)) if weights is None else np.asarray(weights, dtype=float)
        )
        unscored_B = np.isnan(self.rewards_BK).all(axis=1)
        sum_B = np.nansum(self.rewards_BK * weights_K, axis=1)
        return np.where(unscored_B, np.nan, sum_B).astype(np.float32)


class RewardSet:
    """Reward functions in TRL's signature, `f(prompts, completions, **columns) -> list[float |
    None]`, with weights.

    `functions` holds functions (sync or async) or specs for `resolve_reward`; `weights` one number
    for each (None = 1 each). `names` are the functions' own, made unique by a number ("reward",
    "reward_2"). Raises `ValueError`.
    """

    def __init__(
        self,
        functions: Sequence[RewardFunction | str] | RewardFunction | str,
        weights: Sequence[float] | None = None,
    ) -> None:
        specs = (
            [functions] if callable(functions) or isinstance(functions, str) else list(functions)
        )
        if not specs:
            raise RewardSpecError(
                "no reward function given. Name at least one, for example 'answer'."
            )
        self.functions = tuple(resolve_reward(spec) for spec in specs)
        self.names = _unique_names(self.functions)
        self.weights = _checked_weights(weights, self.names)
        # Whether this is the first step that it scores: what is odd then is said at once.
        self._has_scored = False
        self._said_left_out = False
        self._beside = Beside()

    def score(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        *,
        step: int,
        completion_ids: Sequence[Sequence[int]] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
        trainer_state: Any = None,
        timeout: float | None = None,
        should_stop: Callable[[], bool] | None = None,
        watch_file: Path | None = None,
    ) -> RewardTable:
        """The rewards of B completions.

        `prompts`, `completions`, `completion_ids` and each of the `columns` have B entries, a
        prompt once for each of its completions; completions are text or, for a conversation, lists
        of messages. A function gets copies of all of that by name, and `trainer_state` (None = an
        object with `global_step`), `log_extra` and `log_metric`, as in TRL. Async functions run at
        the same time.

        `timeout`: seconds that one call may take (async functions: all of them); `should_stop` is
        asked meanwhile; `watch_file`: see `rewards/watchdog.py`. Raises `RewardError` naming
        function and sample, `ScoringCancelledError` when `should_stop()`, `ValueError` for unequal
        lengths.
        """
        lists = dict(columns or {}) | (
            {} if completion_ids is None else {"completion_ids": completion_ids}
        )
        _check_lengths({"prompts": prompts, "completions": completions, **lists})
        log = _Log(len(prompts))
        extras = {
            "trainer_state": trainer_state or SimpleNamespace(global_step=step),
            **log.callbacks,
        }
        batch = ScoringBatch(prompts, completions, lists, extras)
        try:
            limit = TimeLimit(timeout, should_stop, self._beside, watch_file)
            results = call_all(list(zip(self.names, self.functions, strict=True)), batch, limit)
        finally:
            log.closed = True
        rewards_KB = np.asarray([results[name] for name in self.names], dtype=np.float32)
        # A batch of nothing has its columns all the same.
        rewards_BK = rewards_KB.reshape(len(self.names), len(prompts)).T.copy()
        self._say_what_was_not_scored(rewards_BK, step)
        self._say_what_was_not_logged(log)
        return RewardTable(rewards_BK, self.names, dict(log.extra), log.means())

    def _say_what_was_not_scored(self, rewards_BK: np.ndarray, step: int) -> None:
        """In the first step an error where nobody scored anything, a warning for a function that
        did not; later, when some may well have nothing to say, a warning where nobody did."""
        is_first = not self._has_scored
        self._has_scored = True
        silent_K = np.isnan(rewards_BK).all(axis=0)
        size = len(rewards_BK)
        if size == 0 or not silent_K.any():
            return
        silent = [name for name, is_silent in zip(self.names, silent_K, strict=True) if is_silent]
        names = ", ".join(map(repr, silent))
        if is_first and silent_K.all():
            raise RewardError(
                f"reward function {names} returned None for all {size} completions of the first "
                "step, so that nothing can be learned. None means: not scored. Return a number, 0 "
                "for a completion that earns nothing.",
                silent[0],
                None,
            )
        if is_first:
            text = (
                f"reward function {names} returned None for all {size} completions of the first "
                "step. None means: not scored. That is right only where it is meant for other "
                "problems than these."
            )
        elif silent_K.all():
            text = (
                f"step {step}: no reward function scored any of the {size} completions (all "
                "returned None), so that this step teaches nothing."
            )
        else:
            return
        warnings.warn(text, RewardWarning, stacklevel=3)

    def _say_what_was_not_logged(self, log: _Log) -> None:
        """A warning, once, where more names were logged than are kept."""
        if log.left_out and not self._said_left_out:
            self._said_left_out = True
            warnings.warn(
                f"log_metric was called under {len(log.values) + len(log.left_out)} different "
                f"names in one step: the first {MOST_NAMES} are kept, {min(log.left_out)!r:.60} "
                "and others are not. Log under fewer names, or one value per completion with "
                "log_extra.",
                RewardWarning,
                stacklevel=3,
            )


MOST_NAMES = 500
"""Names under which one step may log, beside the figures of its own: a record keeps 1,000."""


class _Log:
    """Collects what the functions of one step log."""

    def __init__(self, size: int) -> None:
        self.size = size
        # Set when the step has been scored: what a thread that was left behind logs later would be
        # taken for another step's.
        self.closed = False
        self.extra: dict[str, list[Any]] = {}
        self.values: dict[str, list[float]] = defaultdict(list)
        self.left_out: set[str] = set()
        self.callbacks = {"log_extra": self.log_extra, "log_metric": self.log_metric}

    def log_extra(self, column: str, values: Sequence[Any]) -> None:
        self._check_open(f"log_extra({column!r})")
        if len(values) != self.size:
            raise ValueError(
                f"log_extra({column!r}): {len(values)} values, expected {self.size}, one per "
                "completion."
            )
        self.extra[column] = list(values)

    def log_metric(self, name: str, value: float) -> None:
        self._check_open(f"log_metric({name!r})")
        number = float(value)
        # A step with too many figures could not be recorded, after its weights have moved.
        if name not in self.values and len(self.values) >= MOST_NAMES:
            self.left_out.add(str(name)[:100])
            return
        self.values[name].append(number)

    def _check_open(self, call: str) -> None:
        if self.closed:
            raise RuntimeError(
                f"{call}: the scoring of this step has ended. Log before you return."
            )

    def means(self) -> dict[str, float]:
        return {name: math.fsum(values) / len(values) for name, values in self.values.items()}


def _unique_names(functions: Sequence[RewardFunction]) -> tuple[str, ...]:
    names: list[str] = []
    for function in functions:
        while isinstance(function, partial):
            function = function.func
        base = getattr(function, "__name__", type(function).__name__)
        candidates = chain([base], (f"{base}_{i}" for i in count(2)))
        names.append(next(name for name in candidates if name not in names))
    return tuple(names)


def _checked_weights(weights: Sequence[float] | None, names: Sequence[str]) -> tuple[float, ...]:
    try:
        values = tuple(1.0 for _ in names) if weights is None else tuple(map(float, weights))
    except (TypeError, ValueError):  # no numbers, or not even a list
        values = ()
    if len(values) != len(names) or not all(map(math.isfinite, values)) or not any(values):
        raise RewardSpecError(
            f"weights={weights!r} for the reward functions {', '.join(names)}: expected "
            f"{len(names)} finite number(s), not all of them 0."
        )
    return values


def _check_lengths(lists: Mapping[str, Sequence[Any]]) -> None:
    size = len(lists["prompts"])
    wrong = {name: len(values) for name, values in lists.items() if len(values) != size}
    if wrong:
        raise ValueError(
            f"{size} prompts, but {wrong}: every list needs one entry for each completion."
        )
