"""`Session`: a run that trains in the background of the same kernel and can be steered, paused,
rewound and branched.

Every call below may come from any thread. A knob takes effect at the next step. The session knows
no widget: views subscribe, and read the record.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.config import GRPOConfig
from workbench.faults import Fault
from workbench.libraries.devices import empty_caches
from workbench.policy.policy import Policy
from workbench.rewards import DEFAULT_REWARDS, Rewards
from workbench.runs import Run
from workbench.tasks.types import Task
from workbench.training.in_hand import InHand
from workbench.training.launch import start_run
from workbench.training.listeners import Listeners
from workbench.training.session import branching
from workbench.training.session.errors import SessionError
from workbench.training.session.pump import pumped_wait
from workbench.training.session.reopening import Parts
from workbench.training.session.runner import Runner
from workbench.training.session.status import Status
from workbench.training.session.turn import TURN
from workbench.training.trainer import Trainer

if TYPE_CHECKING:
    from workbench.training.tornado.handle import Tornado


class Session:
    """A run in the background. `start()` returns at once; `wait()` blocks until it rests and raises
    what went wrong.

    `policy` and `task` are objects or names; `out` is the run's folder (default runs/DATE-TIME). A
    folder that already holds a run is left alone and a number is added to the name, unless `resume`
    asks to go on with it. `method` is short for a config with that method and its settings. `fault`
    names a mistake to make on purpose (`workbench.faults`). With several `processes` others compute
    together with this one, and all of the above stays as it is.
    """

    out: Path
    """The folder of the run."""
    run: Run
    """Its record, to be read."""
    actions = frozenset({"start", "pause", "step", "stop", "branch", "rewind"})
    """What a person may ask of it; a training of another library answers to less."""
    movable = GRPOConfig.live_fields()
    """The knobs that it takes over while it runs."""

    def __init__(
        self,
        policy: Policy | str = "embedded",
        task: Task | str = "arithmetic",
        rewards: Rewards | Sequence[str] = DEFAULT_REWARDS,
        config: GRPOConfig | None = None,
        *,
        method: str | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        name: str = "",
        fault: Fault | str | None = None,
        processes: int = 1,
    ) -> None:
        config = config or GRPOConfig()
        if method is not None:
            config = config.with_method(method)
        folder = Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
        if out is not None:
            folder = Path(out)
        folder = folder.absolute()
        if not resume:
            folder = branching.free_folder(folder)
        loaded = _policy(policy, config)
        # The first evaluation samples from the model, and resuming changes its weights: whoever
        # trains it must rest meanwhile.
        with TURN.to_use(loaded.model):
            trainer = start_run(
                folder,
                policy=loaded,
                task=_task(task, config),
                rewards=rewards,
                config=config,
                resume=resume,
                name=name,
                fault=fault,
                processes=processes,
            )
            self._take(trainer)

    @classmethod
    def _of(cls, trainer: Trainer) -> Session:
        """A session around a trainer that exists: a branch."""
        session = cls.__new__(cls)
        session._take(trainer)
        return session

    def _take(self, trainer: Trainer) -> None:
        self.out = trainer.out
        self.run = Run.open(trainer.out)
        # Held by a call that starts work or changes what it starts from, so that two such calls do
        # not meet. Reentrant, since one of them may call another.
        self._lock = threading.RLock()
        self._listeners = Listeners(self)
        self._watchers = trainer.in_hand.listeners
        self._runner = Runner(trainer, f"workbench {trainer.out.name}", self._listeners)
        # What the run can be opened with again, once its memory was given back.
        self._parts: Parts | None = None

    def __repr__(self) -> str:
        return f"Session({str(self.out)!r}, {self.status}, step {self.step_number})"

    # ------------------------------------------------------------------------- what it is doing

    @property
    def status(self) -> str:
        """One of ready, running, paused, stopped, finished, failed, freed."""
        return self._runner.status.now.value

    @property
    def activity(self) -> str:
        """What it does while it runs, in words; empty while it rests."""
        return self._runner.activity

    @property
    def error(self) -> BaseException | None:
        """What ended the training, until it has been raised or dismissed."""
        return self._runner.error

    @property
    def trainer(self) -> Trainer | None:
        """The trainer, to be looked at; None once the session was freed."""
        return self._runner.trainer

    @property
    def step_number(self) -> int:
        """Whole steps made."""
        trainer = self.trainer  # once: another thread may free the session
        return self.run.last_step() if trainer is None else trainer.steps_done

    @property
    def holds_its_weights(self) -> bool:
        """Whether the policy in memory has the weights of this session's last whole step; not
        after `free()`, and not while they are those of a branch that trains the same model."""
        return self._runner.holds_its_weights

    @property
    def in_hand(self) -> InHand | None:
        """What the step that is being made has come to: phase, rollout, newest completion; None
        once the session was freed."""
        trainer = self.trainer
        return None if trainer is None else trainer.in_hand

    @property
    def config(self) -> GRPOConfig:
        """The config in force."""
        return self._runner.require_trainer().config

    @property
    def pending(self) -> dict[str, Any]:
        """Knob values that the next step will take over."""
        trainer = self.trainer
        return {} if trainer is None else trainer.knobs.pending

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` whenever something changed (from any thread; be quick). Returns the way
        to unsubscribe.

        A listener that raises is named in a warning and not called again; the training goes on.
        """
        return self._listeners.add(listener)

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` while a step is made, when `in_hand` has changed: at each phase, and a
        few times a second in a rollout. Else as `subscribe`."""
        return self._watchers.add(listener)

    # --------------------------------------------------------------------------------- steering

    def set(self, **knobs: Any) -> None:
        """New values for live fields from the next step on. Raises `ConfigError` and changes
        nothing for a bad one."""
        self._runner.set_knobs(**knobs)
        self._runner.tell()

    def start(self, steps: int | None = None) -> Session:
        """Train up to `max_steps`, or `steps` more; returns at once.

        What is asked for while the session goes back, branches or makes some steps is done after
        that, unless a pause is asked for in between; a second start of all steps does nothing.
        After a pause that was asked for it waits for the step in hand. Another session that is
        running pauses first: there is one machine. Raises `SessionError` once with the error that
        ended the last try; the next call tries again.
        """
        # Asked before the lock, too: a listener that calls this in the worker's thread must not
        # wait for somebody who holds the lock and waits for the worker.
        if self._runner.requests.add(steps):
            return self
        if self._runner.worker.is_asked_from_within():
            self._refuse_while_running("start")
        with self._lock:
            if self._runner.requests.add(steps):
                return self
            self._runner.worker.wait()
            self._raise_error()
            trainer = self._runner.require_trainer()
            if trainer.steps_done >= trainer.config.max_steps:
                raise SessionError(
                    f"the run is finished: {trainer.steps_done} of "
                    f"max_steps={trainer.config.max_steps}. Rewind, branch, or call "
                    "session.extend(steps)."
                )
            self._runner.launch_training(steps)
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
        `resume()` goes on.

        A reward that never returns holds it up for `reward_timeout` seconds at most."""
        self._runner.pause()

    def stop(self, now: bool = False) -> None:
        """End after the step in hand, with a checkpoint; `now` breaks off a rollout that is being
        sampled, and a reward function that is being called."""
        self.ask_to_rest(Status.STOPPED)
        trainer = self.trainer
        if now and trainer is not None and self.status == Status.RUNNING:
            trainer.cancel()
        self._runner.rest(Status.STOPPED)

    def ask_to_rest(self, status: str = "paused") -> None:
        """The same as `pause()` or `stop()`, without waiting: what a button calls."""
        self._runner.ask_to_rest(Status(status))

    def dismiss_error(self) -> None:
        """The error that ended the training has been read: the next start tries again at once."""
        self._runner.take_error()

    def extend(self, steps: int) -> None:
        """Let the run go `steps` further than it was planned; its checkpoint says so too."""
        if steps < 1:
            raise SessionError(f"extend(steps={steps}): steps must be at least 1.")
        with self._lock:
            self._rest_before("extend")
            trainer = self._runner.require_trainer()
            # The checkpoint that says so holds the weights too, so they must be this session's.
            with TURN.to_work(self._runner):
                self._runner.bring_back_weights()
                trainer.knobs.put_in_force(max_steps=trainer.config.max_steps + steps)
                trainer.save()
            self._runner.status.move(Status.PAUSED)
        self._runner.tell()

    def wait(self, timeout: float | None = None) -> Session:
        """Block until the session rests, keep the widgets of this kernel alive meanwhile, and raise
        what went wrong.

        An interrupt (the ■ button, Ctrl-C) pauses the session after the step in hand. Raises
        `SessionError` from the training's error, TimeoutError after `timeout` seconds.
        """
        # It would hold up what it waits for, and then take the error that another call waits for.
        worker = self._runner.worker
        if worker.is_asked_from_within() and not worker.idle.is_set():
            raise SessionError(
                "wait() was called by a reward function or a listener of this session, which would "
                "wait for itself. Call it from outside; pause() and stop() work from within."
            )
        try:
            rested = pumped_wait(worker.idle, timeout)
        except KeyboardInterrupt:
            self.pause()
            rested = pumped_wait(worker.idle, None)  # returns at once, with the last picture drawn
        if not rested:
            raise TimeoutError(
                f"the session still runs after {timeout} s, at step {self.step_number}. It goes "
                "on; pause() rests it."
            )
        self._runner.tell()
        self._raise_error()
        return self

    def save_copy(self, folder: str | Path) -> Path:
        """Write the run to another folder, as it is in memory; returns the folder, where a
        Session with resume=True goes on with it.

        It helps where the run's own folder was deleted or its disk is full. Raises `RunRecordError`
        where `folder` holds a run, `SaveError` where the disk refuses there too.
        """
        with self._lock:
            self._rest_before("save_copy")
            with TURN.to_work(self._runner):
                return self._runner.save_copy(Path(folder))

    # ------------------------------------------------------------------------ rewind and branch

    def rewind(self, step: int) -> Session:
        """Go back to what was after `step`: weights, optimizer, random numbers, knobs and record.
        Returns at once.

        Steps between the nearest checkpoint and `step` are made again, exactly; `stop()` meanwhile
        rests at the one in hand. Raises `RewindError` for a step that is not there. The steps after
        it leave the record: `branch` first to keep them.
        """
        with self._lock:
            self._rest_before("rewind")
            branching.check_step(step, self.step_number)
            runner = self._runner
            work = partial(
                branching.rewind,
                step=step,
                on_step=runner.tell,
                should_stop=runner.stop_was_asked,
            )
            runner.launch(work, f"going back to step {step}")
        return self

    def branch(self, name: str, from_step: int | None = None, **knobs: Any) -> Session:
        """A new session that begins as this run was after `from_step` (default: now) and goes its
        own way with `knobs`.

        It trains the same model in memory: this session rests, its state is in its checkpoint, and
        comes back when it is resumed. Raises `RewindError`, `ConfigError` (then nothing is made).
        """
        with self._lock:
            self._rest_before("branch")
            branching.check_name(name)
            step = self.step_number if from_step is None else from_step
            branching.check_step(step, self.step_number)
            parent = self._runner.require_trainer()
            parent.knobs.check(**knobs)
            with TURN.to_work(self._runner):
                # The branch is copied from checkpoints, so the parent's last step needs one.
                self._runner.bring_back_weights()
                parent.save()
                folder = branching.free_folder(self.out.parent / name)
                trainer, moves = branching.branch_trainer(parent, folder, step)
                session = Session._of(trainer)
                work = partial(
                    branching.catch_up,
                    moves=moves,
                    step=step,
                    knobs=knobs,
                    on_step=session._runner.tell,
                    should_stop=session._runner.stop_was_asked,
                )
                session._runner.launch(work, f"branching from step {step}")
        return session

    def tornado(
        self,
        knobs: Sequence[str] | Mapping[str, Sequence[Any]] | None = None,
        steps: int = 4,
        *,
        seeds: int = 3,
        problems: int = 128,
    ) -> Tornado:
        """What would each knob have done? From the state of now, `steps` steps are made with each
        knob lower and higher, and with `seeds` other sampling seeds, which tell what chance alone
        does. Returns at once; `.result()` waits for the bars, `.progress` says how far it is.

        `knobs` are names of live fields, or names with the values to go to, {"beta": (0.0, 0.1)};
        None = the usual ones. Each branch is measured on the first `problems` held-out ones. The
        session rests meanwhile and is then as it was, bit for bit; training that was in hand goes
        on afterwards. Reward functions are called for the branches too. The result is kept in the
        run's folder. Raises `ConfigError`, `SessionError`.
        """
        from workbench.training.tornado.handle import Tornado
        from workbench.training.tornado.work import plan_of

        with self._lock:
            left = self._runner.training_left()
            self._rest_before("tornado")
            self._raise_error()
            trainer = self._runner.require_trainer()
            try:
                with TURN.to_work(self._runner):
                    self._runner.bring_back_weights()
                    made = Tornado(plan_of(trainer, knobs, steps, seeds, problems), self.run)
                work = partial(
                    made.make_and_tell,
                    tell=self._runner.tell,
                    should_stop=self._runner.worker.stop.is_set,
                )
                self._runner.launch_aside(work, f"trying knobs from step {trainer.steps_done}")
            finally:
                # Also where nothing came of it: it was training, and goes on.
                if left is not None:
                    self._go_on(*left)
        return made

    def _go_on(self, until: int | None) -> None:
        """Train on to step `until`, or to the end, after what is in hand."""
        done = self.step_number
        if done >= self.config.max_steps or (until is not None and until <= done):
            return
        self.start(None if until is None else until - done)

    def free(self) -> None:
        """Give the memory back (the GPU's too) without a kernel restart; the record stays
        readable."""
        with self._lock:
            self._runner.rest(Status.STOPPED)
            if self.trainer is None:
                return
            self._refuse_while_running("free")
            self._parts = Parts.of(self._runner.require_trainer())
            self._runner.give_back()
        # Model, optimizer and graph are full of reference cycles.
        gc.collect()
        empty_caches()

    def reopen(self) -> Session:
        """The same run again after `free()`: a new session that goes on from its last checkpoint.

        Policy and task are loaded again by name, the reward functions are the same. Raises
        `SessionError` where this session was not freed, and what loading raises.
        """
        if self._parts is None:
            raise SessionError(
                f"reopen(): the session is {self.status}, and holds its policy still. resume() "
                "goes on with it."
            )
        return self._parts.session()

    # ----------------------------------------------------------------------------- small things

    def _rest_before(self, call: str) -> None:
        self._runner.require_trainer()
        if self.status == Status.RUNNING:
            self.pause()
        self._refuse_while_running(call)

    def _refuse_while_running(self, call: str) -> None:
        """A listener that calls in the middle of a step cannot wait for its end."""
        if self.status == Status.RUNNING:
            raise SessionError(f"{call}: the session is still busy ({self.activity}). Wait for it.")

    def _raise_error(self) -> None:
        error = self._runner.take_error()
        if error is not None:
            raise SessionError(
                f"training stopped at step {self.step_number}: {type(error).__name__}: {error}"
            ) from error


def _policy(policy: Policy | str, config: GRPOConfig) -> Policy:
    from workbench.policy import load_policy

    return policy if isinstance(policy, Policy) else load_policy(policy, config=config)


def _task(task: Task | str, config: GRPOConfig) -> Task:
    from workbench.tasks.for_config import load_task_for

    return task if isinstance(task, Task) else load_task_for(config, task)
