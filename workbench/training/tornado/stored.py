"""A tornado from a checkpoint of a stored run: the run itself is read and not touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from workbench.config import ConfigError, GRPOConfig
from workbench.faults import fault_of
from workbench.policy.policy import Policy
from workbench.rewards import Rewards
from workbench.runs import Run, RunWriter
from workbench.runs.tornado import TornadoResult
from workbench.tasks.types import Task
from workbench.training import checkpoints
from workbench.training.same_run import check_same
from workbench.training.tornado.handle import Tornado
from workbench.training.tornado.measure import PROBLEMS
from workbench.training.tornado.sides import Knobbed
from workbench.training.tornado.work import Progress, plan_of
from workbench.training.trainer import Trainer


class NoRecord:
    """What a trainer finds in place of a record where none is to be written."""

    closed = True

    def add_to_environment(self, **facts: Any) -> None:
        """Kept nowhere."""

    def check_in_place(self) -> None:
        """There is nothing to be in its place."""


def tornado_of_run(
    folder: str | Path,
    policy: Policy,
    task: Task,
    rewards: Rewards,
    *,
    step: int | None = None,
    knobs: Knobbed = None,
    steps: int = 4,
    seeds: int = 3,
    problems: int = PROBLEMS,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> TornadoResult:
    """What each knob would have done from a checkpoint of the run in `folder` on; kept there.

    `policy`, `task` and `rewards` are the run's own. `step` is one that has a checkpoint; None =
    the newest after which `steps` steps are left. Raises `ConfigError`, `CheckpointError`,
    `TornadoError`.
    """
    run = Run.open(folder)
    check_same(run, policy, task, rewards)
    fault = run.meta.environment.get("fault")
    if fault is not None:
        raise ConfigError(
            f"the run in {folder} made a mistake on purpose (fault={fault!r}); branches would be "
            "made without it. Make the tornado of a run without a fault."
        )
    config = GRPOConfig.from_dict(run.config)
    out = run.path.parent
    checkpoint = checkpoints.load(
        out / "checkpoints", _step_of(out / "checkpoints", step, steps, config)
    )
    trainer = Trainer(
        policy,
        task,
        rewards,
        config,
        open_run=lambda: cast(RunWriter, NoRecord()),
        out=out,
        fault=fault_of(run),
    )
    try:
        trainer.restore(checkpoint)
        tornado = Tornado(plan_of(trainer, knobs, steps, seeds, problems), run)
        tornado.subscribe(lambda: on_progress(tornado.progress))
        tornado.make(trainer)
        return tornado.result()
    finally:
        trainer.engine.free()


def _step_of(folder: Path, step: int | None, steps: int, config: GRPOConfig) -> int:
    there = checkpoints.steps_in(folder)
    fitting = [one for one in there if one + steps <= config.max_steps]
    if step in there:
        return step
    if step is None and fitting:
        return fitting[-1]
    which = f"of step {step}" if step is not None else f"with {steps} steps left after it"
    raise ConfigError(
        f"{folder} holds no checkpoint {which}. There are those of the steps "
        f"{', '.join(map(str, there)) or 'none'}, of max_steps={config.max_steps}."
    )
