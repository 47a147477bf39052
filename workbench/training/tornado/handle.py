"""`Tornado`: what a person holds while the branches are being made."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import replace

from workbench.errors import WorkbenchError
from workbench.rewards import ScoringCancelledError
from workbench.rollout import RolloutCancelledError
from workbench.runs import Run
from workbench.runs.tornado import TornadoResult
from workbench.runs.tornado.stored import save
from workbench.training.listeners import Listeners
from workbench.training.out_of_memory import error_chain
from workbench.training.session.pump import pumped_wait
from workbench.training.tornado.work import Plan, Progress, fingerprint_of, make_branches
from workbench.training.trainer import Trainer


class TornadoError(WorkbenchError, RuntimeError):
    """An error in a branch, handed on; the session is as it was."""


class TornadoCancelledError(TornadoError):
    """It was cancelled, so that there is no result."""


class Tornado:
    """The branches of a tornado, made in the background. `progress` says how far they are,
    `cancel()` ends them, `result()` waits for what they found.

    Whatever comes of it, the session afterwards is as it was before: its next step is bit for bit
    what it would have been.
    """

    def __init__(self, plan: Plan, run: Run) -> None:
        self.plan = plan
        self.run = run
        self._cancel = threading.Event()
        self._done = threading.Event()
        self._listeners = Listeners(self)
        self._progress = Progress(0, len(plan.branches), "about to begin", None)
        self._result: TornadoResult | None = None
        self._error: BaseException | None = None
        self._traceback = ""
        self._trainer: Trainer | None = None

    def __repr__(self) -> str:
        return f"Tornado({self.run.meta.name!r}, {self.state}, {self._progress})"

    @property
    def progress(self) -> Progress:
        """How far it is: branches done and in all, the one in hand, the seconds left."""
        return self._progress

    @property
    def state(self) -> str:
        """running, finished, cancelled or failed."""
        if not self._done.is_set():
            return "running"
        if self._error is None:
            return "finished"
        return "cancelled" if isinstance(self._error, TornadoCancelledError) else "failed"

    @property
    def error(self) -> BaseException | None:
        """What ended it, where it has no result."""
        return self._error

    @property
    def done(self) -> bool:
        """Whether it has ended, with or without a result."""
        return self._done.is_set()

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` at each step and at the end (from the training's thread; be quick).
        Returns the way to unsubscribe."""
        return self._listeners.add(listener)

    def cancel(self) -> None:
        """End it soon: a rollout or a scoring in hand is broken off, an update is made to its end.
        Returns at once; after the end it does nothing."""
        self._cancel.set()
        trainer = self._trainer
        if trainer is not None:
            trainer.cancel()

    def result(self, timeout: float | None = None) -> TornadoResult:
        """Wait for the end and return what was found; widgets of this kernel stay alive meanwhile.

        Raises `TornadoCancelledError` where it was cancelled (an interrupt cancels it),
        `TornadoError` from the error of a branch, TimeoutError after `timeout` seconds.
        """
        try:
            ended = pumped_wait(self._done, timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise
        if not ended:
            raise TimeoutError(
                f"the tornado is not done after {timeout} s: {self._progress}. It goes on; "
                "cancel() ends it."
            )
        if isinstance(self._error, TornadoCancelledError):
            raise self._error
        if self._error is not None:
            told = TornadoError(
                f"a branch failed ({self._progress.doing}): {type(self._error).__name__}: "
                f"{self._error} The session is as it was before."
            )
            told.add_note(self._traceback)
            raise told from self._error
        if self._result is None:
            raise RuntimeError("the tornado has ended and left neither result nor error.")
        return self._result

    # ------------------------------------------------------------------------------ the work

    def make(self, trainer: Trainer, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Make all branches, in the thread that calls. What goes wrong in one is kept for
        `result()`; raises only what kept the trainer from being as it was."""
        self._trainer = trainer
        try:
            # It may have been cancelled before there was anything to break off.
            self._check(should_stop)
            found = make_branches(trainer, self.plan, self._tell, lambda: self._check(should_stop))
            self._keep(found)
        except (RolloutCancelledError, ScoringCancelledError) as error:
            self._error = self._cancelled(error)
        except BaseException as error:
            self._keep_error(error)
            if trainer.dirty:
                raise
        finally:
            self._trainer = None
            # Else the next rollout of the session would be broken off.
            trainer.allow()
            self._done.set()
            self._listeners.tell()

    def make_and_tell(
        self, trainer: Trainer, tell: Callable[[], None], should_stop: Callable[[], bool]
    ) -> None:
        """The same, and `tell()` whoever looks at the session of every change."""
        leave = self.subscribe(tell)
        try:
            self.make(trainer, should_stop)
        finally:
            leave()

    def _keep(self, found: TornadoResult) -> None:
        known = replace(found, fingerprint=fingerprint_of(self.run, found.step))
        count = len(found.branches)
        self._progress = Progress(count, count, "all made", 0.0)
        self._result = save(known, self.run)

    def _keep_error(self, error: BaseException) -> None:
        """Keep it with its traceback as text: it lives on in this object, and the frames would hold
        the model in memory after the session gave it back."""
        self._traceback = "".join(traceback.format_exception(error))
        for one in error_chain(error):
            one.__traceback__ = None
        self._error = error

    def _tell(self, progress: Progress) -> None:
        self._progress = progress
        self._listeners.tell()

    def _check(self, should_stop: Callable[[], bool]) -> None:
        if self._cancel.is_set() or should_stop():
            raise self._cancelled()

    def _cancelled(self, cause: BaseException | None = None) -> TornadoCancelledError:
        error = TornadoCancelledError(
            f"the tornado was cancelled after {self._progress.done} of {self._progress.total} "
            "branches. The session is as it was; call tornado() again to make it anew."
        )
        if cause is not None:
            error.__cause__ = cause.with_traceback(None)
        return error
