"""One run of an experiment: made, or gone on with."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from workbench.config import ConfigWarning
from workbench.experiment.store import MADE_OF, is_done, steps_made
from workbench.experiment.variants import ExperimentError, FunctionOfBefore, Variant
from workbench.policy import load_policy
from workbench.rewards import CONTROLS, Rewards, RewardSet
from workbench.runs import Run, is_run_record
from workbench.tasks.for_config import load_task_for
from workbench.training import Trainer, start_run

PATIENCE = 120.0
"""Seconds without a new step to wait for a process that still writes the run: one that was left
behind ends after the step that it was in, another of the same experiment makes it to its end."""


def make_run(
    variant: Variant, seed: int, folder: Path, should_stop: Callable[[], bool] = lambda: False
) -> bool:
    """Train the run in `folder` from where it is up to its end, or until `should_stop`; whether it
    came to its end. One thread for the embedded policy, whose matrices are too small to share.

    What another process has in hand is waited for, and gone on with where it stops."""
    for reward in variant.rewards:
        if isinstance(reward, FunctionOfBefore):
            raise ExperimentError(
                f"the reward {reward.name!r} of variant {variant.name!r} is a Python function, "
                "which no file holds. Make the Experiment again with it, in the same folder."
            )
    with (
        _alone(folder, should_stop) as mine,
        warnings.catch_warnings(),
        _threads_for(variant.policy),
    ):
        if not mine:
            return False
        # What the settings mean was said when the variant was made.
        warnings.simplefilter("ignore", ConfigWarning)
        _wait_until_free(folder, should_stop)
        trainer = None if should_stop() else _begun(variant, seed, folder)
        if trainer is None:
            return is_done(folder)
        try:
            trainer.train(should_stop=should_stop)
            finished = trainer.steps_done >= trainer.config.max_steps
            if not finished:
                trainer.run.finish("stopped", "the experiment was stopped")
        except Exception as error:
            # The record says why; its last checkpoint leads on once the cause is mended.
            if not trainer.run.closed:
                trainer.run.finish("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            trainer.engine.free()
    return finished


@contextmanager
def _alone(folder: Path, should_stop: Callable[[], bool]) -> Iterator[bool]:
    """Hold the right to make this run, which one process at a time has; False after `should_stop`.
    A process that is killed loses it."""
    place = folder.parent / "locks"
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"{folder.name}.lock")
    try:
        while not lock.is_locked and not should_stop():
            with suppress(Timeout):
                lock.acquire(timeout=0.2)
        yield lock.is_locked
    finally:
        lock.release()


def _begun(variant: Variant, seed: int, folder: Path) -> Trainer | None:
    """A trainer at the run's first step or its last; None where the run has come to its end."""
    if is_done(folder):
        return None
    # To go on with a run its last checkpoint is enough; all of them of all runs fill a disk.
    config = variant.config.replace(seed=seed, save_total_limit=1)
    true_rewards = RewardSet(list(variant.rewards))  # type: ignore[arg-type]
    chosen: Rewards = true_rewards
    if variant.control is not None:
        chosen = CONTROLS[variant.control](true_rewards, seed)
    resumed = is_run_record(folder / "run.sqlite")
    trainer = start_run(
        folder,
        policy=load_policy(variant.policy, config=config),
        task=load_task_for(config, variant.task),
        rewards=chosen,
        config=config,
        resume=resumed,
    )
    if not resumed:
        trainer.run.add_to_environment(**{MADE_OF: variant.to_dict()})
    return trainer


@contextmanager
def _threads_for(policy: str) -> Iterator[None]:
    """One thread for the embedded policy, as in `workbench train`; others as they are."""
    before = torch.get_num_threads()
    if policy == "embedded":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wait_until_free(folder: Path, should_stop: Callable[[], bool]) -> None:
    """Let another process that makes this run come to its end: one that was left behind, after this
    experiment's last one was killed, or one that makes the same experiment. One that makes no step
    any more is what `start_run` refuses."""
    deadline = time.monotonic() + PATIENCE
    steps = -1
    while _is_live(folder) and not should_stop() and time.monotonic() < deadline:
        made = steps_made(folder)
        if made != steps:
            steps = made
            deadline = time.monotonic() + PATIENCE
        time.sleep(0.2)


def _is_live(folder: Path) -> bool:
    return is_run_record(folder / "run.sqlite") and Run.open(folder).is_live()
