"""All branches of a tornado, one after another, in the model of the run; and its state given back
afterwards, whatever happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from workbench.config import ConfigError
from workbench.rollout.request import RolloutNotFiniteError
from workbench.runs import Run
from workbench.runs.step_record import StepRecord
from workbench.runs.tornado import Branch, TornadoResult
from workbench.runs.tornado.band import FEWEST_SEEDS
from workbench.training.checkpoints import Checkpoint
from workbench.training.guard import NotFiniteError
from workbench.training.tornado.branch import BranchTrainer, own_copy
from workbench.training.tornado.measure import PROBLEMS, Ruler
from workbench.training.tornado.sides import Knobbed, Side, sides_of
from workbench.training.trainer import Trainer

FIGURES = ("reward", "kl", "entropy", "loss", "grad_norm", "clip_ratio_region")
"""What is kept of each step of a branch, as the record names it."""


@dataclass(frozen=True)
class Progress:
    """How far a tornado has come."""

    done: int
    """Branches that are made and measured."""

    total: int
    """Branches in all: the base, the seeds, and each side of each knob."""

    doing: str
    """The branch and step in hand."""

    seconds_left: float | None
    """At the pace so far; None before the first branch is done."""

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {self.seconds_left:.0f} s left"
        return f"{self.done} of {self.total} branches ({self.doing}){left}"


@dataclass(frozen=True)
class Plan:
    """What is to be tried."""

    steps: int
    """Steps of each branch."""

    branches: list[Branch]
    """The base first; without measures yet."""

    ruler: Ruler
    """How each is measured."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Knobs that cannot be moved, with the reason."""

    shares: bool = True
    """Whether branches that would sample the same rollout share it."""


def plan_of(
    trainer: Trainer,
    knobs: Knobbed,
    steps: int,
    seeds: int,
    problems: int = PROBLEMS,
    shares: bool = True,
) -> Plan:
    """What is to be tried from the trainer's state on. Raises `ConfigError` for what cannot be."""
    config = trainer.config
    _check_counts(steps, seeds, problems)
    if trainer.fault is not None:
        raise ConfigError(
            f"this run makes a mistake on purpose (fault={trainer.fault.spec!r}), which may keep a "
            "past of its own that no branch can give back. Make the tornado of a run without a "
            "fault."
        )
    left = config.max_steps - trainer.steps_done
    if steps > left:
        raise ConfigError(
            f"tornado(steps={steps}): {left} steps are left of max_steps={config.max_steps}, and "
            "the schedule of the learning rate is laid out for these. Take fewer, or give the run "
            "more: session.extend(STEPS)."
        )
    held_out = trainer.task.held_out[: min(problems, config.num_eval_problems)]
    if not held_out:
        raise ConfigError(
            f"tornado: the task {trainer.task.name!r} has no held-out problems to measure with."
        )
    sides, left_out = sides_of(knobs, trainer.knobs)
    branches = [Branch("base")]
    branches += [Branch("seed", seed=seed) for seed in _seeds(config.seed, trainer, seeds)]
    branches += [_branch_of(side) for side in sides]
    measured_with = config.replace(**trainer.knobs.pending)
    ruler = Ruler(measured_with, held_out, trainer.steps_done + steps)
    return Plan(steps, branches, ruler, left_out, shares)


def _check_counts(steps: int, seeds: int, problems: int) -> None:
    for name, value, least in (
        ("steps", steps, 1),
        ("seeds", seeds, FEWEST_SEEDS),
        ("problems", problems, 1),
    ):
        if value < least:
            raise ConfigError(f"tornado({name}={value}): must be at least {least}.")


def _seeds(own: int, trainer: Trainer, count: int) -> list[int]:
    """Sampling seeds that differ from the run's own and from each other, and are the same whenever
    the tornado of this step is made again."""
    words = np.random.SeedSequence([own, trainer.steps_done]).generate_state(count)
    return [int(word) for word in words]


def _branch_of(side: Side) -> Branch:
    return Branch("knob", knob=side.knob, side=side.direction, before=side.before, value=side.value)


def make_branches(
    trainer: Trainer,
    plan: Plan,
    tell: Callable[[Progress], None] = lambda progress: None,
    check: Callable[[], None] = lambda: None,
) -> TornadoResult:
    """Make and measure all branches of the plan. Afterwards the trainer is as it was, bit for bit,
    also where an error or a cancel ended it.

    `tell` hears of the progress before each step; `check` may raise there to end it all. A branch
    that comes to a number which is not finite is a finding; every other error ends the tornado.
    """
    began = time.monotonic()
    made: list[Branch] = []

    def say(doing: str) -> None:
        check()
        spent = time.monotonic() - began
        left = spent / len(made) * (len(plan.branches) - len(made)) if made else None
        tell(Progress(len(made), len(plan.branches), doing, left))

    start = own_copy(trainer.snapshot())
    with given_back(trainer, start):
        branch_trainer = BranchTrainer(trainer, start, shares=plan.shares)
        for branch in plan.branches:
            # One by one: `say` counts them while the next is being made.
            made.append(_made(branch_trainer, branch, plan, say))  # noqa: PERF401
    return TornadoResult(
        run=trainer.out.name,
        step=start.step,
        steps=plan.steps,
        problems=len(plan.ruler.problems),
        branches=made,
        left_out=plan.left_out,
        seconds=time.monotonic() - began,
    )


@contextmanager
def given_back(trainer: Trainer, state: Checkpoint) -> Iterator[None]:
    """Whatever happens inside with the model, the optimizer, the method and the random generators:
    afterwards they are the trainer's again."""
    try:
        yield
    finally:
        trainer.take_back(own_copy(state))


def _made(trainer: BranchTrainer, branch: Branch, plan: Plan, say: Callable[[str], None]) -> Branch:
    trainer.begin()
    if branch.seed is not None:
        trainer.generator.manual_seed(branch.seed)
    if branch.kind == "knob":
        trainer.knobs.set(who="tornado", **{branch.knob: branch.value})
    before = trainer.shared_groups.handed_on
    figures = []
    try:
        for place in range(1, plan.steps + 1):
            say(f"{branch.name}, step {place} of {plan.steps}")
            figures.append(_figures(trainer.step()))
        say(f"{branch.name}, measured")
        measures = trainer.measured(lambda: plan.ruler.measure(trainer))
    except (NotFiniteError, RolloutNotFiniteError) as error:
        # Also from the measuring, which may be the first to sample from what the last update left.
        return _finished(branch, figures, {}, str(error))
    shared = trainer.shared_groups.handed_on - before
    return _finished(branch, figures, measures, shared=shared)


def _finished(
    branch: Branch,
    figures: Sequence[dict[str, float]],
    measures: Mapping[str, float],
    error: str = "",
    shared: int = 0,
) -> Branch:
    return replace(
        branch, steps=list(figures), measures=measures, error=error, shared_rollouts=shared
    )


def _figures(step: StepRecord) -> dict[str, float]:
    return {name: step.metrics[name] for name in FIGURES if name in step.metrics}


def fingerprint_of(run: Run, step: int) -> dict[str, float]:
    """Figures of a step in the record, by which it is known again; empty before the first."""
    if step == 0:
        return {}
    row = run.steps(since=step - 1).iloc[0]
    return {name: float(row[name]) for name in FIGURES if name in row and row[name] == row[name]}
