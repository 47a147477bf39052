"""What a fault is, and the seams by which it gets into a run.

A trainer holds a task, rewards, an engine, a method and an optimizer. A fault puts a wrapper around
some of these when the trainer has been made, so that the training loop itself knows nothing of
faults and a healthy run passes through none of this code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from torch import Tensor

from workbench.config import GRPOConfig
from workbench.errors import WorkbenchError
from workbench.methods import Batch, Method, Scored
from workbench.objective import BatchTotals, LossBatch, PolicyLoss
from workbench.policy.policy import Policy
from workbench.rewards import RewardTable
from workbench.rollout.types import Rollout
from workbench.tasks.types import Task


class FaultError(WorkbenchError, ValueError):
    """A fault that is unknown, or that the settings of the run would leave without effect."""


class Patient(Protocol):
    """What a fault touches of a trainer."""

    policy: Policy
    task: Task
    rewards: Any
    engine: Any
    method: Any
    optimizer: Any
    steps_done: int

    @property
    def config(self) -> GRPOConfig:
        """The settings in force."""
        ...

    def replace_parts(
        self, *, task: Task, rewards: Any, engine: Any, method: Any, trainer_class: type
    ) -> None:
        """Go on with other parts."""
        ...


class Fault:
    """One mistake of the field. A subclass overrides the seams that it needs; the others hand on
    what is right. Its docstring says what goes wrong, where people had it, and what one sees."""

    name: ClassVar[str]
    """As `--fault NAME` has it, and the record."""

    reports: ClassVar[tuple[str, ...]]
    """Public reports of it, owner/repository#number."""

    finding_keys: ClassVar[tuple[str, ...]]
    """The doctor's findings whose words point at this mistake or its kind; any one will do."""

    needs: ClassVar[dict[str, Any]] = {}
    """Settings under which it bites, where the default ones would hide it."""

    spec: str
    """As it was asked for, with its number where one was given."""

    def __init__(self) -> None:
        self.spec = self.name
        # The model that samples and the model that is trained are one object: what is done to it
        # for the trainer alone must leave the sampler in peace.
        self.samples_now = False

    def check(self, config: GRPOConfig) -> None:
        """Raises `FaultError` where these settings would leave it without effect."""

    def install(self, trainer: Patient) -> None:
        """Put the wrappers into a trainer that was just made. A branch gets its parent's rewards
        and task, which are wrapped already."""
        healthy_rewards = getattr(trainer.rewards, "healthy", trainer.rewards)
        trainer.replace_parts(
            task=self.asked(trainer.task),
            rewards=FaultyRewards(healthy_rewards, self, trainer),
            engine=FaultyEngine(trainer.engine, self, trainer),
            method=FaultyMethod(trainer.method, self),
            # A class of its own, since the model may outlive the run and serve a healthy one: what
            # is done to it holds for a step of this trainer alone.
            trainer_class=_with_faulty_steps(type(trainer)),
        )
        self.optimized(trainer.optimizer)

    # ------------------------------------------------------------ the seams

    def asked(self, task: Task) -> Task:
        """The task whose problems are asked."""
        return task

    def rewarded(
        self, table: RewardTable, completion_ids: Sequence[Sequence[int]], trainer: Patient
    ) -> RewardTable:
        """The rewards of a step's B completions."""
        return table

    def sampled(self, sample: Callable[[], Rollout], trainer: Patient) -> Rollout:
        """What the engine gives: `sample()` makes it."""
        return sample()

    def credited(self, coefficient: Tensor, batch: Batch, config: GRPOConfig) -> Tensor:
        """What the log-probabilities of each completion are weighed with, before the first update.
        `batch` may be changed."""
        return coefficient

    def loss(
        self, method: Method, part: LossBatch, config: GRPOConfig, totals: BatchTotals
    ) -> PolicyLoss:
        """The loss of one micro-batch."""
        return method.loss(part, config, totals)

    def optimized(self, optimizer: Any) -> None:
        """The optimizer that will make the updates."""

    @contextmanager
    def during_a_step(self, trainer: Patient) -> Iterator[None]:
        """Around each step."""
        yield


def _with_faulty_steps(kind: type) -> type:
    """A trainer whose steps are made within its fault's `during_a_step`."""

    def step(trainer: Any) -> Any:
        with trainer.fault.during_a_step(trainer):
            return kind.step(trainer)  # type: ignore[attr-defined]

    return type(f"Faulty{kind.__name__}", (kind,), {"step": step})


class Placebo(Fault):
    """No fault at all, behind the same seams: every number is that of a healthy run. One of those
    that a sealed number may stand for, so that "nothing is wrong" is an answer, too."""

    name = "placebo"
    reports = ()
    finding_keys = ()


class Wrapper:
    """Stands in the place of an object and hands on what it does not do otherwise."""

    def __init__(self, healthy: Any, fault: Fault) -> None:
        self.healthy = healthy
        self.fault = fault

    def __getattr__(self, name: str) -> Any:
        # Asked before __init__ has set it, as when it is copied: there is nothing to hand on yet.
        if name == "healthy":
            raise AttributeError(name)
        return getattr(self.healthy, name)


class FaultyRewards(Wrapper):
    """The rewards of a run with a fault."""

    def __init__(self, healthy: Any, fault: Fault, trainer: Patient) -> None:
        super().__init__(healthy, fault)
        self.trainer = trainer

    def score(
        self, *given: Any, completion_ids: Sequence[Sequence[int]], **named: Any
    ) -> RewardTable:
        """As `RewardSet.score`."""
        table = self.healthy.score(*given, completion_ids=completion_ids, **named)
        return self.fault.rewarded(table, completion_ids, self.trainer)


class FaultyEngine(Wrapper):
    """The engine of a run with a fault."""

    def __init__(self, healthy: Any, fault: Fault, trainer: Patient) -> None:
        super().__init__(healthy, fault)
        self.trainer = trainer

    def generate(self, *given: Any, **named: Any) -> Rollout:
        """As `RolloutEngine.generate`."""
        self.fault.samples_now = True
        try:
            return self.fault.sampled(
                lambda: self.healthy.generate(*given, **named),
                self.trainer,
            )
        finally:
            self.fault.samples_now = False


class FaultyMethod(Wrapper):
    """The method of a run with a fault."""

    def credit(self, batch: Batch, scored: Scored, config: GRPOConfig) -> Tensor:
        """As `Method.credit`."""
        return self.fault.credited(self.healthy.credit(batch, scored, config), batch, config)

    def loss(self, part: LossBatch, config: GRPOConfig, totals: BatchTotals) -> PolicyLoss:
        """As `Method.loss`."""
        return self.fault.loss(self.healthy, part, config, totals)
