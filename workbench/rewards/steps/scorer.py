"""`StepScorer`: one step-reward function, called as reward functions are: with copies of its own
and a limit on its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from workbench.rewards.batch import ScoringBatch
from workbench.rewards.beside import Beside
from workbench.rewards.calling import Kind, call_all
from workbench.rewards.functions import completion_text
from workbench.rewards.outputs import FaultError
from workbench.rewards.steps.checked import Step, StepRewardError, checked_steps
from workbench.rewards.steps.named import step_reward_named
from workbench.rewards.time_limit import TimeLimit


class StepScorer:
    """The step-reward function of a run. `spec` is what `step_reward_named` takes; raises what that
    does."""

    def __init__(self, spec: str) -> None:
        self.name = spec
        self.function = step_reward_named(spec)
        self._beside = Beside()

    def score(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        *,
        step: int,
        completion_ids: Sequence[Sequence[int]],
        columns: Mapping[str, Sequence[Any]],
        timeout: float | None = None,
        should_stop: Callable[[], bool] | None = None,
        watch_file: Path | None = None,
    ) -> list[list[Step]]:
        """The steps of B completions, sync or async, as `RewardSet.score` calls: the function gets
        copies of all of that by name, and `trainer_state`; it does not log.

        Raises `RewardError` naming the function and, where there is one, the sample;
        `ScoringCancelledError` when `should_stop()`.
        """
        lists = dict(columns) | {"completion_ids": completion_ids}
        extras = {"trainer_state": SimpleNamespace(global_step=step)}
        batch = ScoringBatch(prompts, completions, lists, extras)
        limit = TimeLimit(timeout, should_stop, self._beside, watch_file)
        steps: list[list[Step]] = call_all(
            [(self.name, self.function)], batch, limit, STEP_REWARDS
        )[self.name]
        return steps


def _checked(output: Any, batch: ScoringBatch) -> list[list[Step]]:
    texts = [completion_text(completion) for completion in batch.completions]
    try:
        return checked_steps(output, texts)
    except StepRewardError as error:
        what = str(error).rstrip(".")
        raise FaultError(f"returned what cannot be used: {what}", error.row) from error


STEP_REWARDS = Kind("step-reward function", _checked)
"""For each completion a list of (end_character, reward)."""
