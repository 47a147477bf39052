"""`Session`: a run that trains in the background of the same kernel and can be steered, paused, rewound and branched.

The worker thread lives only while steps are being made; every call below may come from any thread. A knob takes effect at
the next step. The session knows no widget: views subscribe, and read the record.
"""

from __future__ import annotations

import gc
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.config import GRPOConfig
from workbench.errors import WorkbenchError
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet, ShuffledRewards
from workbench.runs import Run, RunWriter, is_run_record
from workbench.runs.records import Event
from workbench.tasks.types import Task
from workbench.training import checkpoints
from workbench.training.knobs import Knobs
from workbench.training.launch import DEFAULT_REWARDS, start_run
from workbench.training.pump import pumped_wait
from workbench.training.rewind import RewindError, branch_record, replay, rewind
from workbench.training.state import load_checkpoint
from workbench.training.trainer import Trainer

_running: weakref.WeakSet[Session] = weakref.WeakSet()
_launching = threading.RLock()
"""Held from the moment the other sessions are told to rest until the new one is known to run."""
_held_by: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()
"""Model -> mark of the session whose weights it holds: a branch trains the same model as its parent."""


class SessionError(WorkbenchError, RuntimeError):
    """A call that the session's state does not allow, or the training's own error handed on."""


class Session:
    """A run in the background. `start()` returns at once; `wait()` blocks until it rests and raises what went wrong.

    `policy` and `task` are objects or names; `out` is the run's folder (default runs/DATE-TIME). A folder that already
    holds a run is left alone and a number is added to the name, unless `resume` asks to go on with it.
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
        folder = Path(out) if out is not None else Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = folder if resume else free_folder(folder)
        loaded = _policy(policy, config)
        with _launching:
            for other in list(_running):
                if other.trainer is not None and other.trainer.policy.model is loaded.model:
                    other.pause()
            trainer = start_run(
                folder, policy=loaded, task=_task(task, config), rewards=rewards, config=config, resume=resume, name=name)
            self._adopt(trainer, folder)

    def _adopt(self, trainer: Trainer, folder: Path) -> None:
        self.trainer: Trainer | None = trainer
        self.out = folder
        self.run = Run.open(folder)
        self._mark = object()
        self.error: BaseException | None = None
        self.activity, self._wanted = "", "paused"
        self._status = "finished" if trainer.steps_done >= trainer.config.max_steps else "ready"
        self._lock = threading.RLock()
        self._stop, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._worker: threading.Thread | None = None
        self._listeners: list[Callable[[], None]] = []
        self._hold_model()

    def __repr__(self) -> str:
        return f"Session({str(self.out)!r}, {self.status}, step {self.step_number})"

    # ------------------------------------------------------------------------------------------- what it is doing

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
        """Call `listener()` whenever something changed (from any thread; be quick). Returns the way to unsubscribe.

        A listener that raises is named in a warning and not called again; the training goes on.
        """
        self._listeners.append(listener)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return unsubscribe

    # ------------------------------------------------------------------------------------------------- steering

    def set(self, **knobs: Any) -> None:
        """New values for live fields from the next step on. Raises `ConfigError` and changes nothing for a bad one."""
        self._trainer().knobs.set(who="user", **knobs)
        self._tell()

    def start(self, steps: int | None = None) -> Session:
        """Train up to `max_steps`, or `steps` more; returns at once. A second start of a running session does nothing.

        Another session that is running pauses first: there is one machine. Raises `SessionError` once with the error
        that ended the last try; the next call tries again.
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
                    "session.extend(steps).")
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
        """Rest after the step in hand; returns when it rests (at once when a listener calls). `resume()` goes on."""
        self._rest("paused")

    def stop(self, now: bool = False) -> None:
        """End after the step in hand, with a checkpoint; `now` breaks off a rollout that is being sampled."""
        self.ask_to_rest("stopped")
        if now and self.trainer is not None and self.status == "running":
            self.trainer.cancel()
        self._rest("stopped")

    def ask_to_rest(self, status: str = "paused") -> None:
        """The same as `pause()` or `stop()`, without waiting: what a button calls."""
        self._wanted = status
        self._stop.set()

    def extend(self, steps: int) -> None:
        """Let the run go `steps` further than it was planned; its checkpoint says so too."""
        if steps < 1:
            raise SessionError(f"extend(steps={steps}): steps must be at least 1.")
        with self._lock, _launching:
            self._resting("extend")
            trainer = self._trainer()
            config, pending = trainer.knobs.snapshot()
            longer = config.replace(max_steps=config.max_steps + steps)
            self._others_rest()
            self._hold_model()
            trainer.knobs.restore((longer, pending))
            trainer.save()
            self._set_status("paused")

    def wait(self, timeout: float | None = None) -> Session:
        """Block until the session rests, keep the widgets of this kernel alive meanwhile, and raise what went wrong.

        An interrupt (the ■ button, Ctrl-C) pauses the session after the step in hand. Raises `SessionError` from the
        training's error, TimeoutError after `timeout` seconds.
        """
        try:
            rested = pumped_wait(self._idle, timeout)
        except KeyboardInterrupt:
            self.pause()
            rested = True
        if not rested:
            raise TimeoutError(f"the session still runs after {timeout} s, at step {self.step_number}. It goes on; pause() rests it.")
        self._tell()
        self._raise_error()
        return self

    # ------------------------------------------------------------------------------------------ rewind and branch

    def rewind(self, step: int) -> Session:
        """Go back to what was after `step`: weights, optimizer, random numbers, knobs and record. Returns at once.

        Steps between the nearest checkpoint and `step` are made again, exactly. Raises `RewindError` for a step that is
        not there. The steps after it leave the record: `branch` first to keep them.
        """
        with self._lock:
            self._resting("rewind")
            self._check_step(step)
            self._launch(lambda: rewind(self._trainer(), self.out, step, lambda record: self._tell()), f"going back to step {step}")
        return self

    def branch(self, name: str, from_step: int | None = None, **knobs: Any) -> Session:
        """A new session that begins as this run was after `from_step` (default: now) and goes its own way with `knobs`.

        It trains the same model in memory: this session rests, its state is in its checkpoint, and comes back when it is
        resumed. Raises `RewindError`, `ConfigError` (then nothing is made).
        """
        with self._lock, _launching:
            self._resting("branch")
            step = self.step_number if from_step is None else from_step
            self._check_step(step)
            parent = self._trainer()
            Knobs(parent.config, parent.rewards.names).set(**knobs)  # raises for what cannot be
            self._others_rest()
            self._hold_model()
            parent.save()
            folder = free_folder(self.out.parent / name)
            writer, moves = branch_record(self.out, folder, step, name, parent.policy.pieces)
            child = Trainer(parent.policy, parent.task, parent.rewards, parent.config, run=writer, out=folder)
            session = Session.__new__(Session)
            session._adopt(child, folder)

            def catch_up() -> None:
                replay(child, moves, step, lambda record: session._tell())
                child.knobs.set(who="branch", **knobs)
                child.save()

            session._launch(catch_up, f"branching from step {step}")
        return session

    def free(self) -> None:
        """Give the memory back (the GPU's too) without a kernel restart; the record stays readable."""
        with self._lock:
            self._rest("stopped")
            if self.trainer is None:
                return
            self.trainer.run.close()
            self.trainer = None
            self._set_status("freed")
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # -------------------------------------------------------------------------------------------------- the worker

    def _launch(self, work: Callable[[], None], activity: str = "training") -> None:
        """Run `work` in a thread of its own; other sessions rest first."""
        with _launching:
            self._others_rest()
            self._stop.clear()
            self._idle.clear()
            self._trainer().allow()
            self._wanted = "paused"
            self.error, self.activity = None, activity
            _running.add(self)
            self._worker = threading.Thread(target=self._guarded, args=(work,), name=f"workbench {self.out.name}", daemon=True)
            self._set_status("running")
            self._worker.start()

    def _others_rest(self) -> None:
        for other in list(_running):
            if other is not self:
                other.pause()

    def _guarded(self, work: Callable[[], None]) -> None:
        status = "failed"
        try:
            self._hold_model()
            self._open_record()
            work()
            trainer = self._trainer()
            status = "finished" if trainer.steps_done >= trainer.config.max_steps else self._wanted
            if status == "stopped":
                trainer.run.finish("stopped", "stopped by the user")
        except BaseException as e:
            self.error = e
            self._keep_what_is_whole(e)
        finally:
            self.activity = ""
            _running.discard(self)
            self._status = status
            self._idle.set()
            self._tell()

    def _train(self, steps: int | None) -> None:
        trainer = self._trainer()
        trainer.train(steps, on_step=lambda record: self._tell(), should_stop=self._stop.is_set)

    def _keep_what_is_whole(self, error: BaseException) -> None:
        """A checkpoint when no update was broken off, else the last one is loaded; the reason goes into the record."""
        trainer = self._trainer()
        text = "".join(traceback.format_exception(error))
        trainer.run.write_event(Event("error", f"{type(error).__name__}: {error}", {"traceback": text}))
        if trainer.dirty:
            self._load_latest()
        else:
            trainer.save()

    def _open_record(self) -> None:
        """A stopped or finished run has closed its record; going on opens it again."""
        trainer = self._trainer()
        if trainer.run.closed:
            trainer.run = RunWriter.resume(self.out, trainer.steps_done, pieces=trainer.policy.pieces)

    def _rest(self, status: str) -> None:
        self.ask_to_rest(status)
        if threading.current_thread() is self._worker:
            return  # a listener asks, inside the step: it rests when the step is made
        while not self._idle.wait(0.05):  # never join: an interrupted join marks a living thread dead before Python 3.13
            pass
        if self.status in ("paused", "ready") and self.status != status:
            self._set_status(status)
            if status == "stopped" and not self._trainer().run.closed:
                self._trainer().run.finish("stopped", "stopped by the user")

    def _hold_model(self) -> None:
        """Make the model hold this session's weights of its last whole step; another session may have left its own."""
        trainer = self._trainer()
        if trainer.dirty or _held_by.setdefault(trainer.policy.model, self._mark) is not self._mark:
            self._load_latest()
            _held_by[trainer.policy.model] = self._mark

    def _load_latest(self) -> None:
        """Back to the newest checkpoint; a knob that was set since then, or for the step broken off, is not lost."""
        trainer = self._trainer()
        whole, step, knobs = not trainer.dirty, trainer.steps_done, trainer.knobs.snapshot()
        checkpoint = checkpoints.load_latest(trainer.folder)
        if checkpoint is None:
            raise SessionError(f"{trainer.folder} holds no usable checkpoint, so the run cannot go on.")
        if checkpoint.step < self.run.last_step():
            trainer.run.close()
            trainer.run = RunWriter.resume(self.out, checkpoint.step, pieces=trainer.policy.pieces)
        load_checkpoint(trainer, checkpoint)
        if whole and trainer.steps_done == step:
            trainer.knobs.restore(knobs)
        else:
            trainer.knobs.ask_again(knobs[0], "user")
        checkpoints.drop_after(trainer.folder, checkpoint.step)

    # --------------------------------------------------------------------------------------------------- small things

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise SessionError("the session was freed: its record can be read, but it cannot train. Make a new Session with resume=True.")
        return self.trainer

    def _resting(self, what: str) -> None:
        self._trainer()
        if self.status == "running":
            self.pause()
        if self.status == "running":
            raise SessionError(f"{what}: the session is still busy ({self.activity}). Wait for it.")

    def _check_step(self, step: int) -> None:
        if not 0 <= step <= self.step_number:
            raise RewindError(f"step {step} is not in the run, which has made {self.step_number} steps. Choose 0 to {self.step_number}.")

    def _raise_error(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            self._set_status("paused")
            raise SessionError(f"training stopped at step {self.step_number}: {type(error).__name__}: {error}") from error

    def _set_status(self, status: str) -> None:
        self._status = status
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            try:
                listener()
            except Exception as e:
                with suppress(ValueError):
                    self._listeners.remove(listener)
                warnings.warn(f"a listener of {self!r} failed and is not called any more: {type(e).__name__}: {e}", stacklevel=2)


def free_folder(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3 … that holds no run yet."""
    candidate, number = folder, 1
    while is_run_record(candidate / "run.sqlite"):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _policy(policy: Policy | str, config: GRPOConfig) -> Policy:
    from workbench.policy import load_policy

    return policy if isinstance(policy, Policy) else load_policy(policy, lora=config.lora_rank or None, seed=config.seed)


def _task(task: Task | str, config: GRPOConfig) -> Task:
    from workbench.tasks import load_task

    return task if isinstance(task, Task) else load_task(task, seed=config.seed)
