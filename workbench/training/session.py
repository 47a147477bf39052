"""`Session`: a run that trains in the background of the same kernel and can be steered, paused,
rewound and branched.

The worker thread lives only while steps are being made; every call below may come from any thread.
A knob takes effect at the next step. The session knows no widget: views subscribe, and read the
record.
"""

from __future__ import annotations

import gc
import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.config import GRPOConfig
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet, ShuffledRewards
from workbench.rollout import RolloutCancelled, free
from workbench.runs import Run, is_run_record
from workbench.runs.records import Event
from workbench.tasks.types import Task
from workbench.training.hand_over import SessionError, hold_model, load_latest, open_record
from workbench.training.knobs import Knobs
from workbench.training.launch import DEFAULT_REWARDS, start_run
from workbench.training.listeners import Listeners
from workbench.training.memory import chain_of, let_go
from workbench.training.pump import pumped_wait
from workbench.training.rewind import RewindError, branch_record, replay, rewind
from workbench.training.trainer import Trainer
from workbench.training.worker import Worker, launching, others_rest

TRAINING = "training"


class Session:
    """A run in the background. `start()` returns at once; `wait()` blocks until it rests and raises
    what went wrong.

    `policy` and `task` are objects or names; `out` is the run's folder (default runs/DATE-TIME). A
    folder that already holds a run is left alone and a number is added to the name, unless `resume`
    asks to go on with it.
    """

    def __init__(
        self,
        policy: Policy | str = "embedded",
        task: Task | str = "arithmetic",
        rewards: RewardSet | ShuffledRewards | Sequence[str] = DEFAULT_REWARDS,
        config: GRPOConfig | None = None,
        *,
        out: str | Path | None = None,
        resume: bool = False,
        name: str = "",
    ) -> None:
        config = config or GRPOConfig()
        folder = (
            Path(out)
            if out is not None
            else Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
        )
        folder = folder if resume else free_folder(folder)
        loaded = _policy(policy, config)
        with launching:
            others_rest(model=loaded.model)
            trainer = start_run(
                folder,
                policy=loaded,
                task=_task(task, config),
                rewards=rewards,
                config=config,
                resume=resume,
                name=name,
            )
            self._adopt(trainer, folder)

    def _adopt(self, trainer: Trainer, folder: Path) -> None:
        self.trainer: Trainer | None = trainer
        self.out = folder
        self.run = Run.open(folder)
        self._mark = object()
        self.error: BaseException | None = None
        self.activity, self._wanted = "", "paused"
        self._asked_meanwhile: dict[str, Any] = {}
        self._status = "finished" if trainer.steps_done >= trainer.config.max_steps else "ready"
        self._lock, self._listeners = threading.RLock(), Listeners(self)
        self._worker = Worker(f"workbench {folder.name}", self.pause, trainer.policy.model)
        hold_model(trainer, self._mark)

    def __repr__(self) -> str:
        return f"Session({str(self.out)!r}, {self.status}, step {self.step_number})"

    # -------------------------------------------------------------------------------------------
    # what it is doing

    @property
    def status(self) -> str:
        """One of ready, running, paused, stopped, finished, failed, freed."""
        return self._status

    @property
    def step_number(self) -> int:
        """Whole steps made."""
        return self.trainer.steps_done if self.trainer is not None else self.run.last_step()

    @property
    def config(self) -> GRPOConfig:
        """The config in force."""
        return self._trainer().config

    @property
    def pending(self) -> dict[str, Any]:
        """Knob values that the next step will take over."""
        return self.trainer.knobs.pending if self.trainer is not None else {}

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` whenever something changed (from any thread; be quick). Returns the way
        to unsubscribe.

        A listener that raises is named in a warning and not called again; the training goes on.
        """
        return self._listeners.add(listener)

    # ------------------------------------------------------------------------------------------------- steering

    def set(self, **knobs: Any) -> None:
        """New values for live fields from the next step on. Raises `ConfigError` and changes
        nothing for a bad one."""
        trainer = self._trainer()
        if self.activity in ("", TRAINING):
            trainer.knobs.set(who="user", **knobs)
        else:  # steps are made again with the knobs that they had; these are for the first new one
            Knobs(trainer.config, trainer.rewards.names).set(**knobs)
            self._asked_meanwhile |= knobs
        self._tell()

    def start(self, steps: int | None = None) -> Session:
        """Train up to `max_steps`, or `steps` more; returns at once. A second start of a running
        session does nothing.

        Another session that is running pauses first: there is one machine. Raises `SessionError`
        once with the error that ended the last try; the next call tries again.
        """
        if self.status == "running":
            return self
        with self._lock:
            if self.status == "running":
                return self
            self._raise_error()
            trainer = self._trainer()
            if trainer.steps_done >= trainer.config.max_steps:
                raise SessionError(
                    f"the run is finished: {trainer.steps_done} of max_steps={trainer.config.max_steps}. Rewind, branch, or call "
                    "session.extend(steps)."
                )
            self._launch(lambda: self._train(steps))
        return self

    def resume(self) -> Session:
        """Go on after a pause, a stop or an error; the same as `start()`."""
        return self.start()

    def step(self, n: int = 1) -> Session:
        """Make `n` steps and pause; returns at once, `wait()` waits for them."""
        if n < 1:
            raise SessionError(f"step(n={n}): n must be at least 1.")
        return self.start(n)

    def pause(self) -> None:
        """Rest after the step in hand; returns when it rests (at once when a listener calls).
        `resume()` goes on."""
        self._rest("paused")

    def stop(self, now: bool = False) -> None:
        """End after the step in hand, with a checkpoint; `now` breaks off a rollout that is being
        sampled."""
        self.ask_to_rest("stopped")
        if now and self.trainer is not None and self.status == "running":
            self.trainer.cancel()
        self._rest("stopped")

    def ask_to_rest(self, status: str = "paused") -> None:
        """The same as `pause()` or `stop()`, without waiting: what a button calls."""
        self._wanted = status
        self._worker.stop.set()

    def extend(self, steps: int) -> None:
        """Let the run go `steps` further than it was planned; its checkpoint says so too."""
        if steps < 1:
            raise SessionError(f"extend(steps={steps}): steps must be at least 1.")
        with self._lock, launching:
            self._resting("extend")
            trainer = self._trainer()
            longer = trainer.config.max_steps + steps
            others_rest(but=self._worker)
            hold_model(trainer, self._mark)
            trainer.knobs.put_in_force(max_steps=longer)
            trainer.save()
            self._set_status("paused")

    def wait(self, timeout: float | None = None) -> Session:
        """Block until the session rests, keep the widgets of this kernel alive meanwhile, and raise
        what went wrong.

        An interrupt (the ■ button, Ctrl-C) pauses the session after the step in hand. Raises
        `SessionError` from the training's error, TimeoutError after `timeout` seconds.
        """
        try:
            rested = pumped_wait(self._worker.idle, timeout)
        except KeyboardInterrupt:
            self.pause()
            rested = pumped_wait(
                self._worker.idle, None
            )  # returns at once, with the last picture drawn
        if not rested:
            raise TimeoutError(
                f"the session still runs after {timeout} s, at step {self.step_number}. It goes on; pause() rests it."
            )
        self._tell()
        self._raise_error()
        return self

    # ------------------------------------------------------------------------------------------
    # rewind and branch

    def rewind(self, step: int) -> Session:
        """Go back to what was after `step`: weights, optimizer, random numbers, knobs and record.
        Returns at once.

        Steps between the nearest checkpoint and `step` are made again, exactly; `stop()` meanwhile
        rests at the one in hand. Raises `RewindError` for a step that is not there. The steps after
        it leave the record: `branch` first to keep them.
        """
        with self._lock:
            self._resting("rewind")
            self._check_step(step)
            self._launch(
                lambda: rewind(
                    self._trainer(), self.out, step, lambda record: self._tell(), self._stops
                ),
                f"going back to step {step}",
            )
        return self

    def branch(self, name: str, from_step: int | None = None, **knobs: Any) -> Session:
        """A new session that begins as this run was after `from_step` (default: now) and goes its
        own way with `knobs`.

        It trains the same model in memory: this session rests, its state is in its checkpoint, and
        comes back when it is resumed. Raises `RewindError`, `ConfigError` (then nothing is made).
        """
        with self._lock, launching:
            self._resting("branch")
            check_name(name)
            step = self.step_number if from_step is None else from_step
            self._check_step(step)
            parent = self._trainer()
            Knobs(parent.config, parent.rewards.names).set(**knobs)  # raises for what cannot be
            others_rest(but=self._worker)
            hold_model(parent, self._mark)
            parent.save()
            folder = free_folder(self.out.parent / name)
            writer, moves = branch_record(self.out, folder, step, folder.name, parent.policy.pieces)
            child = Trainer(
                parent.policy,
                parent.task,
                parent.rewards,
                parent.config,
                open_run=lambda: writer,
                out=folder,
            )
            session = Session.__new__(Session)
            session._adopt(child, folder)

            def catch_up() -> None:
                try:
                    replay(
                        session._trainer(),
                        moves,
                        step,
                        lambda record: session._tell(),
                        session._stops,
                    )
                finally:
                    session._trainer().knobs.set(who="branch", **knobs)
                session._trainer().save()

            session._launch(catch_up, f"branching from step {step}")
        return session

    def free(self) -> None:
        """Give the memory back (the GPU's too) without a kernel restart; the record stays
        readable."""
        with self._lock:
            self._rest("stopped")
            if self.trainer is None:
                return
            self.trainer.run.close()
            free(self.trainer.engine)
            self.trainer = self._worker.model = None
            for error in [] if self.error is None else chain_of(self.error):
                error.__traceback__ = None  # its words are in the record
            self._set_status("freed")
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # -------------------------------------------------------------------------------------------------- the worker

    def _launch(self, work: Callable[[], None], activity: str = TRAINING) -> None:
        """Run `work` in a thread of its own; other sessions rest first."""
        with launching:
            others_rest(but=self._worker)
            self._trainer().allow()
            self._wanted, self._status, self.error, self.activity = (
                "paused",
                "running",
                None,
                activity,
            )
            self._worker.launch(lambda: self._guarded(work))
        self._tell()

    def _guarded(self, work: Callable[[], None]) -> None:
        status = "failed"
        try:
            status = self._done(work)
        except BaseException as e:
            self.error = e
            self._keep_what_is_whole(e)
        finally:
            self.activity, self._status = "", status
            self._worker.done()
            self._tell()

    def _done(self, work: Callable[[], None]) -> str:
        """Do the work; the status that the session then has."""
        trainer = self._trainer()
        hold_model(trainer, self._mark)
        open_record(trainer)
        try:
            work()
        except (
            RolloutCancelled
        ):  # while steps were made again: the session rests at the last whole one
            trainer.save()
        asked, self._asked_meanwhile = self._asked_meanwhile, {}
        trainer.knobs.set(who="user", **asked)
        if trainer.steps_done >= trainer.config.max_steps:
            return "finished"
        if self._wanted == "stopped":
            trainer.run.finish("stopped", "stopped by the user")
        return self._wanted

    def _stops(self) -> bool:
        """Whether steps that are made again should end early: on a stop, not on the pause that
        another session asks for."""
        return self._worker.stop.is_set() and self._wanted == "stopped"

    def _train(self, steps: int | None) -> None:
        trainer = self._trainer()
        trainer.train(
            steps, on_step=lambda record: self._tell(), should_stop=self._worker.stop.is_set
        )

    def _keep_what_is_whole(self, error: BaseException) -> None:
        """A checkpoint when no update was broken off, else the last one is loaded; the reason goes
        into the record.

        The error itself lives on in the session, and in the notebook that it is raised in: it must
        not hold what the step had in memory.
        """
        trainer = self._trainer()
        text = "".join(traceback.format_exception(error))
        let_go(error)
        trainer.run.write_event(
            Event("error", f"{type(error).__name__}: {error}", {"traceback": text})
        )
        if trainer.dirty:
            load_latest(trainer)
        else:
            trainer.save()

    def _rest(self, status: str) -> None:
        self.ask_to_rest(status)
        self._worker.wait()
        if self.status in ("paused", "ready") and self.status != status:
            self._set_status(status)
            if status == "stopped" and not self._trainer().run.closed:
                self._trainer().run.finish("stopped", "stopped by the user")

    # --------------------------------------------------------------------------------------------------- small things

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise SessionError(
                "the session was freed: its record can be read, but it cannot train. Make a new Session with resume=True."
            )
        return self.trainer

    def _resting(self, what: str) -> None:
        self._trainer()
        if self.status == "running":
            self.pause()
        if self.status == "running":
            raise SessionError(f"{what}: the session is still busy ({self.activity}). Wait for it.")

    def _check_step(self, step: int) -> None:
        if not 0 <= step <= self.step_number:
            raise RewindError(
                f"step {step} is not in the run, which has made {self.step_number} steps. Choose 0 to {self.step_number}."
            )

    def _raise_error(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            self._set_status("paused")
            raise SessionError(
                f"training stopped at step {self.step_number}: {type(error).__name__}: {error}"
            ) from error

    def _set_status(self, status: str) -> None:
        self._status = status
        self._tell()

    def _tell(self) -> None:
        self._listeners.tell()


def check_name(name: str) -> None:
    """A branch's name becomes a folder beside its parent's. Raises `RewindError` for one that
    cannot, or leads elsewhere."""
    if (
        name in ("", ".", "..")
        or not name.isprintable()
        or set(name) & set("/\\")
        or len(name.encode()) > 200
    ):
        raise RewindError(
            f"branch({name!r}): the name becomes a folder beside the run's own. Use 1 to 200 printable characters, no / or \\."
        )


def free_folder(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3 … that holds no run yet."""
    candidate, number = folder, 1
    while is_run_record(candidate / "run.sqlite"):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _policy(policy: Policy | str, config: GRPOConfig) -> Policy:
    from workbench.policy import load_for

    return policy if isinstance(policy, Policy) else load_for(config, policy)


def _task(task: Task | str, config: GRPOConfig) -> Task:
    from workbench.tasks import load_task

    return task if isinstance(task, Task) else load_task(task, seed=config.seed)
