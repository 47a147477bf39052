"""Opening a run again whose session gave its memory back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.config import GRPOConfig
from workbench.rewards import Rewards, RewardSet
from workbench.rewards.controls import ControlRewards
from workbench.rewards.resolve import spec_of_recorded
from workbench.tasks.types import Task
from workbench.training.trainer import Trainer

if TYPE_CHECKING:
    from workbench.training.session.session import Session


@dataclass(frozen=True)
class Parts:
    """What a freed run was made of. Nothing here holds a model: the policy is a name, and so is a
    reward that can be found by it."""

    out: Path
    policy: str
    task: Task
    functions: tuple[Any, ...]
    weights: tuple[float, ...]
    control: type[ControlRewards] | None
    seed: int
    config: GRPOConfig
    processes: int

    @classmethod
    def of(cls, trainer: Trainer) -> Parts:
        """Those of `trainer`, before it is let go."""
        rewards = trainer.rewards
        control = type(rewards) if isinstance(rewards, ControlRewards) else None
        inner = rewards.rewards if isinstance(rewards, ControlRewards) else rewards
        # A name where there is one, because a reward model in memory is what was to be given back.
        functions = tuple(
            spec_of_recorded(name) or function
            for name, function in zip(inner.names, inner.functions, strict=True)
        )
        return cls(
            out=trainer.out,
            policy=str(trainer.policy.source),
            task=trainer.task,
            functions=functions,
            weights=tuple(inner.weights),
            control=control,
            seed=getattr(rewards, "seed", 0),
            config=trainer.config,
            processes=trainer.processes,
        )

    def session(self) -> Session:
        """A new session on the run's folder."""
        from workbench.training.session.session import Session

        true_rewards = RewardSet(list(self.functions), self.weights)
        rewards: Rewards = true_rewards
        if self.control is not None:
            rewards = self.control(true_rewards, self.seed)
        return Session(
            self.policy,
            self.task,
            rewards,
            self.config,
            out=self.out,
            resume=True,
            processes=self.processes,
        )
