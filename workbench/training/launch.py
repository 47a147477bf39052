"""Starting a run, or going on with one: the record, the first checkpoint and the trainer, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.config import GRPOConfig
from workbench.config_fields import ConfigError
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet, ShuffledRewards, check_gold
from workbench.runs import Run, RunWriter, is_run_record
from workbench.tasks.types import Task
from workbench.training import checkpoints
from workbench.training.state import load_checkpoint
from workbench.training.trainer import Trainer

DEFAULT_REWARDS = ("format", "answer")
Rewards = RewardSet | ShuffledRewards
EXTENDABLE = ("max_steps", "eval_steps", "num_eval_problems", "save_steps", "save_total_limit", "micro_batch_size")
"""Fixed fields that may still differ when a run is resumed: they do not change what a step computes."""


def start_run(
    out: str | Path,
    *,
    policy: Policy,
    task: Task,
    rewards: Rewards | Sequence[str] = DEFAULT_REWARDS,
    config: GRPOConfig,
    resume: bool = False,
    name: str = "",
) -> Trainer:
    """A trainer whose record and checkpoints live in the folder `out`, at its first step or, with `resume`, at its last.

    Resuming takes the newest whole checkpoint, cuts the record back to it and goes on; without a checkpoint it starts
    from the beginning. Live fields of `config` that differ from the run's own become knob changes. Raises `GoldError`
    for a gold answer that nothing could equal, `RunRecordError` when `out` holds a run and `resume` is False,
    `ConfigError` when a fixed field differs.
    """
    out = Path(out)
    chosen = rewards if isinstance(rewards, (RewardSet, ShuffledRewards)) else RewardSet(list(rewards))
    check_weights(config, chosen)
    for problem in (*task.train, *task.held_out):
        check_gold(problem.answer)
    if resume and is_run_record(out / "run.sqlite"):
        return _resumed(out, policy, task, chosen, config)
    writer = RunWriter.create(
        out, config=config.to_dict(), name=name or out.name, policy=policy.source, task=task.name,
        reward_names=chosen.names, pieces=policy.pieces)
    return _from_the_start(Trainer(policy, task, chosen, config, run=writer, out=out))


def check_weights(config: GRPOConfig, rewards: Rewards) -> None:
    """Raises `ConfigError` unless there are as many weights as reward functions."""
    if config.reward_weights is not None and len(config.reward_weights) != len(rewards.names):
        raise ConfigError(
            f"reward_weights={config.reward_weights!r} has {len(config.reward_weights)} entries for the reward functions "
            f"{', '.join(rewards.names)}. Give one weight for each.")


def _from_the_start(trainer: Trainer) -> Trainer:
    trainer.run.write_evaluation(0, trainer.evaluate())
    trainer.save()
    return trainer


def _resumed(out: Path, policy: Policy, task: Task, rewards: Rewards, config: GRPOConfig) -> Trainer:
    changes = _changes(GRPOConfig.from_dict(Run.open(out).config), config)
    checkpoint = checkpoints.load_latest(out / "checkpoints")
    if checkpoint is None:
        if checkpoints.steps_in(out / "checkpoints"):
            raise checkpoints.CheckpointError(
                f"{out / 'checkpoints'}: every checkpoint is damaged. Start a new run in another folder.")
        writer = RunWriter.resume(out, 0, pieces=policy.pieces)
        return _from_the_start(Trainer(policy, task, rewards, config, run=writer, out=out))
    writer = RunWriter.resume(out, checkpoint.step, pieces=policy.pieces)
    trainer = Trainer(policy, task, rewards, config, run=writer, out=out)
    load_checkpoint(trainer, checkpoint)
    extended = {n: v for n, v in changes.items() if n in EXTENDABLE}
    trainer.knobs.restore((trainer.config.replace(**extended), trainer.knobs.snapshot()[1]))
    trainer.knobs.set("resume", **{n: v for n, v in changes.items() if n not in EXTENDABLE})
    return trainer


def _changes(own: GRPOConfig, wanted: GRPOConfig) -> dict[str, object]:
    """The fields in which the wanted config differs from the run's own. Raises `ConfigError` for a fixed one."""
    before, after = own.to_dict(), wanted.to_dict()
    changes = {name: after[name] for name in after if after[name] != before[name]}
    for name in changes:
        if name not in GRPOConfig.live_fields() + EXTENDABLE:
            raise ConfigError(
                f"{name}={after[name]!r} differs from the run's own {before[name]!r} and is fixed for a run. Resume without it, "
                "or start a new run in another folder.")
    return changes
