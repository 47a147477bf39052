"""The work behind a session: new steps, or old ones made again, one piece of work at a time, in a
thread, and to an end from which the session can go on whatever happened."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import without_home
from workbench.rewards import ScoringCancelledError
from workbench.rollout import RolloutCancelledError
from workbench.runs import RunRecordError, RunWarning
from workbench.runs.step_record import Event, StepRecord
from workbench.training.checkpoints import CheckpointError, SaveError
from workbench.training.listeners import Listeners
from workbench.training.out_of_memory import clear_frames, error_chain
from workbench.training.session.branching import return_to_latest_checkpoint
from workbench.training.session.errors import SessionError
from workbench.training.session.requests import ALL_STEPS, Requests
from workbench.training.session.status import Status, StatusMachine
from workbench.training.session.turn import TURN
from workbench.training.session.worker import Worker
from workbench.training.trainer import Trainer

TRAINING = "training"
"""The activity of making new steps; any other makes old ones again."""
Work = Callable[[Trainer], None]
"""Is given the trainer and does not hold it: the traceback of an error that is kept holds the work,
and would keep the model in memory after `free()`."""
STOPPED_BY_USER = "stopped by the user"


@contextmanager
def record_loss_as_warning() -> Iterator[None]:
    """Says that the record could not be written as a `RunWarning`, where the session can do
    without."""
    try:
        yield
    except RunRecordError as error:
        warnings.warn(str(error), RunWarning, stacklevel=3)


class Runner:
    """Trains with `trainer` for one session, and tells `listeners` of every change."""

    trainer: Trainer | None
    """None once its memory was given back."""
    error: BaseException | None
    """What ended the last work, until it has been raised to somebody."""
    activity: str
    """What the work in hand is, in words; empty while it rests."""

    def __init__(self, trainer: Trainer, name: str, listeners: Listeners) -> None:
        finished = trainer.steps_done >= trainer.config.max_steps
        self.trainer = trainer
        self.error = None
        self.activity = ""
        self.status = StatusMachine(Status.FINISHED if finished else Status.READY)
        self.worker = Worker(name)
        self._listeners = listeners
        # What the session is to be when the work in hand has ended early; None = nobody asked.
        self._asked_status: Status | None = None
        # What it is to be where nobody asked.
        self._status_afterwards = Status.PAUSED
        # The step that the training in hand is to come to; None = the last.
        self._until: int | None = None
        # Whether the work in hand leaves the session as it is.
        self._is_aside = False
        self.requests = Requests()
        # Knobs that were set while old steps were made again. One lock with the question whether
        # they are: a knob that was put aside too late would miss its step.
        self._knobs_lock = threading.Lock()
        self._makes_old_steps = False
        self._knobs_for_later: dict[str, Any] = {}
        # Stands for this session's weights; a bare object, because it must not lead to the model.
        self._owner = object()
        self.bring_back_weights()

    @property
    def model(self) -> Any:
        """The model that it trains; None once its memory was given back."""
        return None if self.trainer is None else self.trainer.policy.model

    def require_trainer(self) -> Trainer:
        """The trainer. Raises `SessionError` when the session was freed."""
        if self.trainer is None:
            raise SessionError(
                "the session was freed: its record can be read, but it cannot train. Make a new "
                "Session with resume=True."
            )
        return self.trainer

    def tell(self, record: StepRecord | None = None) -> None:
        """Something changed. Takes the step's record, because a trainer hands it over."""
        self._listeners.tell()

    def set_knobs(self, **knobs: Any) -> None:
        """New values from the next new step on. Raises `ConfigError` and changes nothing for a bad
        one."""
        trainer = self.require_trainer()
        with self._knobs_lock:
            if self._makes_old_steps:
                # With the knobs that they had.
                trainer.knobs.check(**knobs)
                self._knobs_for_later |= knobs
            else:
                trainer.knobs.set(who="user", **knobs)

    # --------------------------------------------------------------------------------- beginning

    def launch(self, work: Work, activity: str) -> None:
        """Make old steps again by `work`, in a thread; returns when it runs. The other sessions
        rest first."""
        self._launch(work, activity, reaches_the_end=False)

    def launch_training(self, steps: int | None) -> None:
        """Make new steps in the same way: `steps` of them, or all that are left."""
        self._launch(self._training(steps), TRAINING, reaches_the_end=steps is ALL_STEPS)

    def launch_aside(self, work: Work, activity: str) -> None:
        """Do what leaves the session as it is, in the same way: it is then what it was before,
        unless it is asked to rest or to train meanwhile, and a closed record stays closed."""
        self._launch(work, activity, reaches_the_end=False, aside=True)

    def training_left(self) -> tuple[int | None] | None:
        """What the training in hand still has to make, in a tuple, since it may be ALL_STEPS; None
        where none is in hand. To be asked before a pause and counted after it."""
        if self.activity != TRAINING:
            return None
        return (self._until,)

    def _training(self, steps: int | None) -> Work:
        should_stop = self.worker.stop.is_set

        def train(trainer: Trainer) -> None:
            self._until = None if steps is None else trainer.steps_done + steps
            trainer.train(steps, on_step=self.tell, should_stop=should_stop)

        return train

    def _launch(
        self, work: Work, activity: str, reaches_the_end: bool, aside: bool = False
    ) -> None:
        with TURN.to_work(self):
            # An earlier request to break off a rollout must not end this work.
            self.require_trainer().allow()
            self._asked_status = None
            self._is_aside = aside
            self._status_afterwards = self.status.now if aside else Status.PAUSED
            self.error = None
            self.activity = activity
            self._makes_old_steps = activity != TRAINING
            self.status.move(Status.RUNNING)
            TURN.begins(self)
            self.requests.begin(reaches_the_end)
            self.worker.launch(lambda: self._to_the_end(work))
        self.tell()

    @property
    def holds_its_weights(self) -> bool:
        """Whether the weights in the model are those of this session's last whole step."""
        trainer = self.trainer
        if trainer is None or trainer.dirty:
            return False
        return not TURN.holds_weights_of_another(trainer.policy.model, self._owner)

    def bring_back_weights(self) -> None:
        """Make the model hold the weights of this session's last whole step.

        Where another session's weights are in it, or an update of its own was broken off, the
        newest checkpoint is loaded. Raises `SessionError` where that is needed and none is usable.
        """
        trainer = self.require_trainer()
        if not self.holds_its_weights:
            return_to_latest_checkpoint(trainer)
        TURN.weights_belong_to(self.model, self._owner)

    def save_copy(self, folder: Path) -> Path:
        """Write the run to another folder, as this session's weights are."""
        trainer = self.require_trainer()
        # A step that could not be recorded is in the weights alone: no checkpoint leads back to it.
        is_of_another = TURN.holds_weights_of_another(self.model, self._owner)
        if is_of_another or trainer.unrecorded is None:
            self.bring_back_weights()
        return trainer.save_copy(folder)

    # ------------------------------------------------------------------------------- in the thread

    def _to_the_end(self, work: Work) -> None:
        status = Status.FAILED
        try:
            status = self._do(work)
        except BaseException as error:
            self.error = error
            self._keep_what_is_whole(error)
        finally:
            self.requests.end()
            # The status before the worker rests: whoever waited for the rest reads the status.
            self.activity = ""
            self.status.move(status)
            TURN.ends(self)
            self.worker.rests()
            self.tell()

    def _do(self, work: Work) -> Status:
        """Do the work, and the training that was asked for meanwhile; the status that the session
        then has."""
        trainer = self.require_trainer()
        try:
            self.bring_back_weights()
            if not self._is_aside:
                self._open_record(trainer)
            work(trainer)
        except (RolloutCancelledError, ScoringCancelledError):
            # While steps were made again: the session rests at the last whole one.
            trainer.save()
        finally:
            # Also where an error ended the work: what was asked for is for the next new step.
            self._set_knobs_for_later(trainer)
        while asked := self.requests.take():
            if trainer.steps_done >= trainer.config.max_steps:
                break
            (steps,) = asked
            self.activity = TRAINING
            # Whatever came before: from here on it rests as after any training.
            self._status_afterwards = Status.PAUSED
            self._open_record(trainer)
            self.tell()
            self._training(steps)(trainer)
        if trainer.steps_done >= trainer.config.max_steps:
            return Status.FINISHED
        status = self._asked_status or self._status_afterwards
        if status is Status.STOPPED and not trainer.run.closed:
            trainer.run.finish("stopped", STOPPED_BY_USER)
        return status

    def _open_record(self, trainer: Trainer) -> None:
        if trainer.run.closed:  # stopped or finished before
            trainer.continue_record(trainer.steps_done)

    def _set_knobs_for_later(self, trainer: Trainer) -> None:
        with self._knobs_lock:
            knobs = self._knobs_for_later
            self._knobs_for_later = {}
            self._makes_old_steps = False
            trainer.knobs.set(who="user", **knobs)

    def _keep_what_is_whole(self, error: BaseException) -> None:
        """A checkpoint when no update was broken off, else the last one is loaded; the reason goes
        into the record."""
        trainer = self.require_trainer()
        text = without_home("".join(traceback.format_exception(error)))
        # The error lives on in the session, and in the notebook that it is raised in: it must not
        # hold what the step had in memory.
        clear_frames(error)
        words = f"{type(error).__name__}: {error}"
        try:
            trainer.run.write_event(Event("error", without_home(words), {"traceback": text}))
            if trainer.dirty:
                return_to_latest_checkpoint(trainer)
            # Where the disk has refused a checkpoint, it would refuse it again.
            elif not isinstance(error, SaveError):
                trainer.save()
        except (RunRecordError, CheckpointError, SessionError) as second:
            # The first error is the one to be told; what could not be kept is told with it.
            error.add_note(f"Besides, what was whole could not be kept: {second}")

    # ------------------------------------------------------------------------------------- resting

    def pause(self) -> None:
        """Rest after the step in hand; returns when it rests."""
        self.rest(Status.PAUSED)

    def rest(self, status: Status) -> None:
        """End the work in hand after its step and become `status`; returns when it rests.

        Takes no lock of the session: another session may call this while somebody holds that lock
        and waits for the turn.
        """
        self.ask_to_rest(status)
        self.worker.wait()
        if self.status.move_from((Status.READY, Status.PAUSED), status):
            trainer = self.require_trainer()
            if status is Status.STOPPED and not trainer.run.closed:
                # Nothing is left to be done that the loss of the record could spoil.
                with record_loss_as_warning():
                    trainer.run.finish("stopped", STOPPED_BY_USER)
            self.tell()

    def ask_to_rest(self, status: Status) -> None:
        """The same without waiting."""
        self._asked_status = status
        self.requests.end()
        self.worker.stop.set()

    def stop_was_asked(self) -> bool:
        """Whether steps that are made again should end early: on a stop, not on the pause that
        another session asks for."""
        return self.worker.stop.is_set() and self._asked_status is Status.STOPPED

    def take_error(self) -> BaseException | None:
        """What ended the last work, for whoever raises it or has shown it: the next start tries
        again."""
        error = self.error
        self.error = None
        if self.status.move_from((Status.FAILED,), Status.PAUSED):
            self.tell()
        return error

    def give_back(self) -> None:
        """Let go of the trainer and of all that leads to it."""
        trainer = self.require_trainer()
        # The memory comes back also where the record is gone or its disk refuses.
        with record_loss_as_warning():
            trainer.run.close()
        trainer.engine.free()
        self.trainer = None
        if self.error is not None:
            for error in error_chain(self.error):
                error.__traceback__ = None  # its words are in the record
        self.status.move(Status.FREED)
        self.tell()
