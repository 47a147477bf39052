"""The reward functions of a run, called on completions that were written after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.config import GRPOConfig
from workbench.rewards import RewardError, Rewards, RewardSet
from workbench.rewards.functions import as_messages
from workbench.rewards.resolve import spec_of_recorded
from workbench.rewards.watchdog import WATCH_FILE
from workbench.runs import Run
from workbench.tasks.types import Problem, Task, columns_of
from workbench.training.reward_effects import torch_settings_kept
from workbench.training.session import Session


@dataclass(frozen=True)
class Scores:
    """What B completions are paid."""

    names: tuple[str, ...]
    """Of the K reward functions."""

    rewards_BK: np.ndarray
    """NaN where a function said nothing."""

    reward_B: list[float]
    """The weighted sums; NaN where none said anything."""

    why_not: str = ""
    """Why nothing was scored; '' where something was."""

    def of_row(self, row: int) -> dict[str, float]:
        """The rewards of a completion by function."""
        return dict(zip(self.names, self.rewards_BK[row].tolist(), strict=True))

    def followed_by(self, others: Scores) -> Scores:
        """These completions and then those of `others`, which the same functions scored."""
        return replace(
            self,
            rewards_BK=np.concatenate([self.rewards_BK, others.rewards_BK]),
            reward_B=[*self.reward_B, *others.reward_B],
        )


def recorded_scores(record: Run, step: int, row: int) -> Scores:
    """What one completion of the record was paid in its step."""
    batch = record.batch(step)
    return Scores(
        tuple(record.meta.reward_names),
        batch["rewards_BK"][row : row + 1],
        [float(batch["reward_B"][row])],
    )


def score(
    run: object,
    record: Run,
    task: Task,
    problem: Problem,
    completions: Sequence[str],
    completion_ids: Sequence[Sequence[int]],
    config: GRPOConfig,
    should_stop: Callable[[], bool],
) -> Scores:
    """The rewards of whole completions of one problem, as a step of the run would give them: the
    functions get copies, have the run's time, and change nothing for the training. Where they are
    not at hand, or one fails, the scores say why. Raises `ScoringCancelledError`."""
    rewards = _rewards_of(run, record)
    if isinstance(rewards, str):
        return _none(record, len(completions), rewards)
    count = len(completions)
    try:
        with torch_settings_kept(rewards.names):
            table = rewards.score(
                prompts=[task.messages(problem)] * count,
                completions=as_messages(completions),
                completion_ids=completion_ids,
                columns=columns_of([problem] * count),
                # As the step would be that comes next.
                step=record.last_step() + 1,
                timeout=config.reward_timeout,
                should_stop=should_stop,
                watch_file=record.path.parent / WATCH_FILE,
            )
    # The continuations are there all the same, and are shown without.
    except RewardError as error:
        return _none(record, count, str(error))
    return Scores(table.names, table.rewards_BK, table.total_B(config.reward_weights).tolist())


def _rewards_of(run: object, record: Run) -> Rewards | str:
    """The session's own; of a stored run those that its record names; why not, where one of them
    cannot be found by its name."""
    if isinstance(run, Session) and run.trainer is not None:
        return run.trainer.rewards
    specs = {name: spec_of_recorded(name) for name in record.meta.reward_names}
    unknown = [name for name, spec in specs.items() if spec is None]
    if unknown:
        return (
            f"the record does not say where the reward function {unknown[0]!r} lies. A session "
            "that trains the run has it."
        )
    return RewardSet([spec for spec in specs.values() if spec is not None])


def _none(record: Run, count: int, why: str) -> Scores:
    names = tuple(record.meta.reward_names)
    return Scores(names, np.full((count, len(names)), np.nan), [np.nan] * count, why)
