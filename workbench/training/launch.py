"""Starting a run, or going on with one: the record, the first checkpoint and the trainer, put
together."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from workbench.config import ConfigError, GRPOConfig
from workbench.distributed.starting import check_devices
from workbench.evaluation.prompts import check_prompts
from workbench.faults import Fault, fault_of, make_fault
from workbench.methods.demonstrations import check_demonstrations
from workbench.policy.for_config import check_policy
from workbench.policy.free_memory import check_batch_fits
from workbench.policy.policy import Policy
from workbench.rewards import (
    DEFAULT_REWARDS,
    ControlRewards,
    Rewards,
    RewardSet,
    with_readable_golds,
)
from workbench.rollout import check_engine
from workbench.runs import Run, RunWriter, is_run_record
from workbench.runs.store.opening import check_free, remove_database
from workbench.runs.store.writer import RecordGoneError, check_left, mark_of, newest_checkpoint
from workbench.runs.whole_folder import draft_of
from workbench.tasks.for_config import as_read
from workbench.tasks.types import Task
from workbench.training import checkpoints
from workbench.training.knobs import check_weights
from workbench.training.out_of_memory import warn_where_too_small
from workbench.training.same_run import check_same
from workbench.training.shared import trainer_of
from workbench.training.shared.checks import check_shared
from workbench.training.trainer import Trainer
from workbench.training.truth import as_it_is

EXTENDABLE = (
    "max_steps",
    "eval_steps",
    "num_eval_problems",
    "eval_samples",
    "eval_samples_problems",
    "eval_samples_steps",
    "save_steps",
    "save_total_limit",
    "record_tokens_every",
    "micro_batch_size",
    "micro_batch_tokens",
    "gradient_checkpointing",
    "reward_timeout",
    "vllm_server_base_url",
    "vllm_gpu_memory_utilization",
    "vllm_enable_sleep_mode",
)
"""Fixed fields that may still differ when a run is resumed: they do not change what a step
computes."""


def start_run(
    out: str | Path,
    *,
    policy: Policy,
    task: Task,
    rewards: Rewards | Sequence[str] = DEFAULT_REWARDS,
    config: GRPOConfig,
    resume: bool = False,
    name: str = "",
    fault: Fault | str | None = None,
    processes: int = 1,
) -> Trainer:
    """A trainer whose record and checkpoints live in the folder `out`, at its first step or, with
    `resume`, at its last.

    Resuming takes the newest whole checkpoint, cuts the record back to it and goes on; without a
    checkpoint it starts from the beginning. Knobs that moved after the checkpoint are asked for
    again, at the first step. Live fields of `config` that differ from the run's own become knob
    changes. `fault` names a mistake to make on purpose (`workbench.faults`): the record says so, a
    resumed run keeps it. With several `processes` others are started that compute together with
    this one (`workbench.training.shared`), and the numbers stay those of one. Raises `GoldError`
    for gold answers that nothing could equal (unless `config.unreadable_golds` says what is to
    become of them), `PolicyError` for a prompt that is too long and for a policy that the
    checkpoint does not belong to, `RunRecordError` when `out` holds a run and `resume` is False,
    `ConfigError` when a fixed field, the task or the rewards differ and for what several processes
    cannot do, `OutOfMemoryError`. A new run whose first evaluation fails leaves nothing behind; a
    run that was there stays as it was.
    """
    # Once for all that keeps it: the working directory may change before the run ends.
    out = Path(out).absolute()
    chosen = (
        rewards if isinstance(rewards, (RewardSet, ControlRewards)) else RewardSet(list(rewards))
    )
    config = as_read(config, task)
    task = with_readable_golds(task, config.unreadable_golds)
    _check_start(out, policy, task, chosen, config)
    config = as_it_is(policy, config)
    mistake = _fault_of(out, resume, fault)
    if mistake is not None:
        mistake.check(config)
    make = trainer_of(processes)
    if processes > 1:
        # Before there is anything to take back.
        check_shared(config, mistake)
        check_devices(processes, policy.device)
    if resume and is_run_record(out / "run.sqlite"):
        return _resumed(out, policy, task, chosen, config, mistake, make)
    if checkpoints.steps_in(out / "checkpoints") and not is_run_record(out / "run.sqlite"):
        raise checkpoints.CheckpointError(
            f"{out / 'checkpoints'} holds checkpoints of a run whose record is gone. Delete that "
            "folder or name another one."
        )
    check_free(out / "run.sqlite")
    create = partial(
        RunWriter.create,
        out,
        config=config.to_dict(),
        name=name or out.name,
        policy=policy.source,
        task=task.name,
        reward_names=chosen.names,
        pieces=policy.pieces,
    )
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    trainer = make(policy, task, chosen, config, open_run=create, out=out, fault=mistake)
    try:
        return _from_the_start(trainer)
    except BaseException:
        # A run that never began would stand in the way of the next try.
        _leave_nothing(trainer, missing)
        raise


def _leave_nothing(trainer: Trainer, made: Sequence[Path]) -> None:
    """Take away the record and the checkpoint of a run that never began, and the folders that were
    `made` for it, where nothing else is."""
    trainer.engine.free()
    try:
        trainer.run.check_in_place()
    except RecordGoneError:
        # What stands there now is somebody else's.
        trainer.run.close()
        return
    trainer.run.close()
    remove_database(trainer.run.path)
    for folder in (
        checkpoints.folder_of(trainer.folder, 0),
        draft_of(checkpoints.folder_of(trainer.folder, 0)),
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (trainer.folder, *made):
        with suppress(OSError):  # not empty, or never made
            folder.rmdir()


def _check_start(
    out: Path, policy: Policy, task: Task, rewards: Rewards, config: GRPOConfig
) -> None:
    """All that can be known before the first step to end in an error."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out={str(out)!r} is a file. Name the folder of the run.")
    try:
        str(out).encode()
    # A record can be written there; a tokenizer, at the end of the run, cannot.
    except UnicodeEncodeError as e:
        raise ConfigError(
            f"out={str(out)!r} is no UTF-8, and a policy cannot be saved below such a name. Name "
            "another folder."
        ) from e
    check_engine(config)
    check_policy(policy, config)
    check_weights(config, rewards.names)
    if (
        isinstance(rewards, RewardSet)
        and any(w != 1 for w in rewards.weights)
        and config.reward_weights != rewards.weights
    ):
        raise ConfigError(
            f"the RewardSet has weights={rewards.weights}, the config "
            f"reward_weights={config.reward_weights}. Training takes the config's: set "
            f"GRPOConfig(reward_weights={rewards.weights}), which can also be changed while it "
            "runs."
        )
    check_prompts(policy, task, task.train, config.max_completion_length, config.max_prompt_length)
    asked = max(config.num_eval_problems, config.eval_samples and config.eval_samples_problems)
    check_prompts(policy, task, task.held_out[:asked], config.max_completion_length)
    if config.method_facts.sampled_from == "demonstrations":
        check_demonstrations(policy, task, config)
    check_batch_fits(policy, config)
    warn_where_too_small(policy, config)


def _from_the_start(trainer: Trainer) -> Trainer:
    trainer.run.write_evaluation(0, trainer.evaluate())
    for sampled in trainer.evaluate_with_samples(0):
        trainer.run.write_sampled_evaluation(0, sampled)
    trainer.save()
    return trainer


def _fault_of(out: Path, resume: bool, asked: Fault | str | None) -> Fault | None:
    """The fault of the run: the recorded one where it is resumed.

    Raises `FaultError` for an unknown name, `ConfigError` where another one is asked for than the
    run was made with.
    """
    wanted = None if asked is None else make_fault(asked)
    if not resume or not is_run_record(out / "run.sqlite"):
        return wanted
    run = Run.open(out)
    if wanted is None:
        return fault_of(run)
    recorded = run.meta.environment.get("fault")
    if wanted.spec != recorded:
        raise ConfigError(
            f"fault={wanted.spec!r}, but the run was made with "
            f"{'none' if recorded is None else repr(recorded)}. Resume without fault=, which keeps "
            "what it was made with, or start a new run in another folder."
        )
    return wanted


def _resumed(
    out: Path,
    policy: Policy,
    task: Task,
    rewards: Rewards,
    config: GRPOConfig,
    fault: Fault | None,
    make: Callable[..., Trainer],
) -> Trainer:
    # While it is written, what looks like a leftover is not one.
    check_left(out)
    run = Run.open(out)
    check_same(run, policy, task, rewards)
    own = GRPOConfig.from_dict(run.config)
    # A record of an earlier version says of the policy what was asked for.
    if "dtype" not in run.meta.environment:
        own = as_it_is(policy, own)
    changes = _changes(own, config)
    checkpoint = checkpoints.load_latest(out / "checkpoints")
    if checkpoint is None:
        if checkpoints.steps_in(out / "checkpoints"):
            raise checkpoints.CheckpointError(
                f"{out / 'checkpoints'}: every checkpoint is damaged. Start a new run in another "
                "folder."
            )
        _check_nothing_to_lose(run, out)
        anew = partial(RunWriter.resume, out, 0, pieces=policy.pieces)
        return _from_the_start(
            make(policy, task, rewards, config, open_run=anew, out=out, fault=fault)
        )
    _check_none_removed(run, out, checkpoint.step)
    if checkpoint.step > 0:
        mark = mark_of(out, checkpoint.step)
        checkpoints.check_mark(out / "checkpoints", checkpoint.step, checkpoint.state, mark)
    policy.check_trainable_state(checkpoint.tensors["weights"])  # while the record is as it was
    moved = {row.name: row.new for row in run.knobs().itertuples() if row.step > checkpoint.step}
    go_on = partial(RunWriter.resume, out, checkpoint.step, pieces=policy.pieces)
    trainer = make(policy, task, rewards, config, open_run=go_on, out=out, fault=fault)
    trainer.restore(checkpoint)
    checkpoints.drop_after(trainer.folder, checkpoint.step)
    extended = {name: value for name, value in changes.items() if name in EXTENDABLE}
    trainer.knobs.put_in_force(**extended)
    # Knobs that moved in the steps that have to be made again are not lost.
    trainer.knobs.ask_again(trainer.config.replace(**moved), "user")
    live = {name: value for name, value in changes.items() if name not in EXTENDABLE}
    trainer.knobs.set("resume", **live)
    return trainer


def _check_nothing_to_lose(run: Run, out: Path) -> None:
    """Raises `CheckpointError` where a run without checkpoints has steps that beginning again would
    delete."""
    steps = run.last_step()
    if steps > 0:
        raise checkpoints.CheckpointError(
            f"{out / 'checkpoints'} holds no checkpoint, and going on without one would delete the "
            f"{steps} steps that the record holds. Put the checkpoints back, or start a new run in "
            f"another folder. To begin again in this one, delete its record first: "
            f"rm {shlex.quote(str(run.path))}"
        )


def _check_none_removed(run: Run, out: Path, step: int) -> None:
    """Raises `CheckpointError` where the record knows of a newer checkpoint than that of `step`,
    which is the newest whole one, and the newer one is not there."""
    known = newest_checkpoint(out)
    # A damaged one has been warned of, and the one before it is there for that.
    there = max(checkpoints.steps_in(out / "checkpoints"))
    if known is None or known <= there:
        return
    cut = f"from workbench.runs import RunWriter; RunWriter.resume({str(out)!r}, {step}).close()"
    raise checkpoints.CheckpointError(
        f"{out / 'checkpoints'} had a checkpoint of step {known}, which is gone; the newest there "
        f"is that of step {step}. Going on from it would delete the record's steps {step + 1} to "
        f"{run.last_step()}. Put it back; or, to have them deleted and made again, cut the record "
        f"back first: python -c {shlex.quote(cut)}"
    )


def _changes(own: GRPOConfig, wanted: GRPOConfig) -> dict[str, object]:
    """The fields in which the wanted config differs from the run's own. Raises `ConfigError` for a
    fixed one."""
    before, after = own.to_dict(), wanted.to_dict()
    changes = {name: after[name] for name in after if after[name] != before[name]}
    for name in changes:
        if name not in GRPOConfig.live_fields() + EXTENDABLE:
            raise ConfigError(
                f"{name}={after[name]!r} differs from the run's own {before[name]!r} and is fixed "
                "for a run. Resume without it, "
                "or start a new run in another folder."
            )
    return changes
