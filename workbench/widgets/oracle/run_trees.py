"""The trees of a run: its problems under the weights of its kept steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.widgets.oracle.enumerating import OnProgress, along_weights, as_reward_set
from workbench.widgets.oracle.snapshots import Snapshots

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.policy.policy import Policy
    from workbench.rewards import RewardSet
    from workbench.tasks import Task
    from workbench.training.session import Session

FILE = "oracle_trees.npz"
"""Where a run's trees are kept, in its folder."""


class RunTreesError(WorkbenchError, ValueError):
    """A run whose trees cannot be made: says what is missing and what to do."""


class CheckpointWeights(Mapping[str, Any]):
    """The weights of a run's kept steps, by the name of the moment; each is read when it is
    asked for."""

    def __init__(self, folder: Path, steps: Sequence[int]) -> None:
        self._folder = folder
        self._steps = {f"step {step}": step for step in steps}

    def __getitem__(self, moment: str) -> dict[str, Tensor]:
        from workbench.training import checkpoints

        return checkpoints.load(self._folder, self._steps[moment]).tensors["weights"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def kept_steps(run: str | Path) -> list[int]:
    """The steps of which a run kept the weights: GRPOConfig(save_steps=, save_total_limit=) says
    how many. Raises `RunTreesError` where there is none."""
    from workbench.training import checkpoints

    steps = checkpoints.steps_in(Path(run) / "checkpoints")
    if not steps:
        raise RunTreesError(
            f"{str(run)!r} keeps the weights of no step: there is no folder in its checkpoints/. "
            "Start a run with save_steps=5, save_total_limit=20."
        )
    return steps


def along_run(
    source: Session | str | Path,
    problems: int = 4,
    *,
    steps: Sequence[int] | None = None,
    rewards: RewardSet | Sequence[str] | None = None,
    mass: float = 0.999,
    on_progress: OnProgress = lambda done, of: None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Snapshots]:
    """The first held-out problems under the weights of a run's kept `steps` (None = all of them).

    A `Session` rests meanwhile, and has its own weights again afterwards; of a folder the policy is
    loaded anew. `rewards`: None = the run's own. Raises `RunTreesError`.
    """
    folder = Path(source) if isinstance(source, str | Path) else source.out
    there = kept_steps(folder)
    chosen = there if steps is None else list(steps)
    missing = [step for step in chosen if step not in there]
    if missing:
        raise RunTreesError(
            f"the weights of step {missing[0]} were not kept. Kept are those of "
            f"{', '.join(map(str, there))}."
        )
    given = None if rewards is None else as_reward_set(rewards)
    with _parts_of(source, given) as (policy, task, reward_set, config):
        return along_weights(
            policy,
            task,
            task.held_out[:problems],
            CheckpointWeights(folder / "checkpoints", chosen),
            reward_set,
            mass=mass,
            max_new_tokens=config.max_completion_length,
            temperature=config.temperature,
            on_progress=on_progress,
            should_stop=should_stop,
        )


@contextmanager
def _parts_of(
    source: Session | str | Path, rewards: RewardSet | None
) -> Iterator[tuple[Policy, Task, RewardSet, Any]]:
    """Policy, task, rewards (the run's own for None) and config; those of a session while nobody
    trains its model."""
    if isinstance(source, str | Path):
        yield _loaded(Path(source), rewards)
        return
    from workbench.training.session.turn import TURN

    trainer = source.trainer
    if trainer is None:
        yield _loaded(source.out, rewards)
        return
    with TURN.to_use(trainer.policy.model):
        own = rewards or as_reward_set(_known(trainer.rewards))
        yield trainer.policy, trainer.task, own, trainer.config


def _known(rewards: Any) -> RewardSet:
    """A control's rewards without their shuffling: what an answer would have earned."""
    found: RewardSet = getattr(rewards, "rewards", rewards)
    return found


def _loaded(folder: Path, rewards: RewardSet | None) -> tuple[Policy, Task, RewardSet, Any]:
    from workbench.config import GRPOConfig
    from workbench.policy import load_policy
    from workbench.runs import Run
    from workbench.tasks.for_config import load_task_for

    meta = Run.open(folder).meta
    config = GRPOConfig(**meta.config)
    policy = load_policy(meta.policy, config=config)
    own = rewards or _recorded_rewards(meta.reward_names, config.reward_weights)
    return policy, load_task_for(config, meta.task), own, config


def _recorded_rewards(names: Sequence[str], weights: Sequence[float] | None) -> RewardSet:
    """The rewards that a record names. Raises `RunTreesError` for one that cannot be found again by
    its name."""
    from workbench.rewards import RewardSet
    from workbench.rewards.resolve import spec_of_recorded

    specs = {name: spec_of_recorded(name) for name in names}
    lost = [name for name, spec in specs.items() if spec is None]
    if lost:
        raise RunTreesError(
            f"the run was paid by {lost[0]!r}, which cannot be found again by that name. Give the "
            "rewards: along_run(…, rewards=[…])."
        )
    return RewardSet([spec for spec in specs.values() if spec is not None], weights)
