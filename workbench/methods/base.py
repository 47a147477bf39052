"""What a method is: how the scored completions of a step become one coefficient for each token.

The loop asks it at five places, in this order: `credit` before the updates, then for each update
`rows`, `loss` and `learn`, and `end_step` when the weights have moved. The answers of this class
are GRPO's, and those of every method that the settings alone make (RLOO, REINFORCE++-baseline);
another one overrides what it does otherwise. Who writes the completions is a fact of the method
(`config/methods.py`), not code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.config import GRPOConfig
from workbench.methods.batch import Batch
from workbench.objective import (
    Advantages,
    BatchTotals,
    LossBatch,
    PolicyLoss,
    rows_with_gradient,
)
from workbench.policy.policy import Policy
from workbench.rewards import Rewards
from workbench.tasks.types import Message, Problem, Task, columns_of


@dataclass(frozen=True)
class Scored:
    """The completions of a step as text, with what the reward functions made of them."""

    task: Task
    """Where the problems are from."""

    problems: Sequence[Problem]
    """B problems, each once for each of its completions."""

    completions: Sequence[str]
    """B texts, each the whole message of the assistant."""

    functions: int
    """How many reward functions there are."""

    advantages: Advantages
    """Rewards compared as the config says."""

    step: int
    """The number of the step, from 1."""

    should_stop: Callable[[], bool]
    """Whether somebody has asked for the end of what is being scored."""

    watch_file: Path
    """Where it is written what scoring is doing, when it takes long."""

    def prompts(self) -> list[list[Message]]:
        """B conversations. Made when they are asked for: most methods do without."""
        return [self.task.messages(problem) for problem in self.problems]

    def columns(self) -> dict[str, list[Any]]:
        """What reward functions get by name beside them: question, answer and the task's own; B
        each."""
        return columns_of(self.problems)


class Method:
    """GRPO, and what every method does as GRPO does."""

    def __init__(self, policy: Policy, config: GRPOConfig, rewards: Rewards) -> None:
        self.policy = policy
        self.figures: dict[str, float] = {}
        """What it measured of the step in hand, for the record."""

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        """What the log-probabilities of each completion (B,), or of each token (B, T), are weighed
        with. `batch` has old and reference log-probabilities where the method asks for them."""
        return batch.advantages

    def rows(self, batch: Batch, rows_R: Tensor, config: GRPOConfig) -> Tensor:
        """The rows of an update that can move the policy, in the order in which they are cut into
        micro-batches."""
        return rows_with_gradient(batch.loss_mask_BT, batch.advantages, rows_R, config)

    def loss(self, part: LossBatch, config: GRPOConfig, totals: BatchTotals) -> PolicyLoss:
        """The loss of some of those rows. Its gradient reaches the weights through `part.logp`
        alone, so that minus its derivative is the coefficient of each token."""
        return part.loss(config, totals)

    def learn(self, batch: Batch, rows_R: Tensor, config: GRPOConfig) -> dict[str, float]:
        """Teach what learns beside the policy, from the rows of an update; returns figures of
        it."""
        return {}

    def end_step(self, batch: Batch, scored: Scored, config: GRPOConfig, step: int) -> None:
        """The updates of step number `step` are made."""

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint must keep of it, by file and name."""
        return {}

    def load(self, files: Mapping[str, dict[str, Tensor]]) -> None:
        """Take over what `tensors` gave; other files are somebody else's."""
