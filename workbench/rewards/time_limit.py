"""A limit on how long one call of foreign code may take, which holds wherever it is called.

In the main thread the call is made right there, where alarms work (math_verify sets one), and a
signal ends it: also a regular expression that backtracks for ever, which keeps every other thread
from running.

In any other thread Python has no way to end a call. There it is made in a thread beside, and where
it does not return that thread is left to itself: a daemon, which no exit of the process waits for.
One call can be ended by nobody there: a regular expression of `re` that backtracks for ever lets no
other thread run, the notebook's own included. (The package `regex` has a timeout.) `watchdog.py`
says where it is.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.rewards.beside import Beside
from workbench.rewards.watchdog import watched

_POLL = 0.05
"""Seconds between two looks at the clock and at `should_stop`."""
_LAST_WAIT = 0.5
"""Seconds that a call still has when `should_stop` begins to answer True: most end by themselves,
one that asked for the stop itself above all."""
_REPEAT = 1.0
"""Seconds between two signals to a call that swallowed the first."""
_SIGNAL = getattr(signal, "SIGVTALRM", None)
"""Hardly anybody's: SIGALRM is what rewards use themselves. None on Windows, where rewards have no
alarms and a thread beside costs them nothing."""


class ScoringCancelledError(WorkbenchError):
    """`should_stop` answered True while a reward function was being called; nothing of it is
    kept."""


class OutOfTimeError(WorkbenchError):
    """A call had not returned at its limit. `goes_on`: it could not be ended, only left to
    itself."""

    def __init__(self, goes_on: bool) -> None:
        super().__init__("a call had not returned at its time limit")
        self.goes_on = goes_on


@dataclass(frozen=True)
class TimeLimit:
    """How long a call may take, and who may end it before."""

    seconds: float | None = None
    """Of one call; None = for ever."""
    should_stop: Callable[[], bool] | None = None
    """Asked all the time, from any thread; None = nobody ends it."""
    beside: Beside = field(default_factory=Beside)
    """Where calls are made that cannot be made right here."""
    watch_file: Path | None = None
    """Where it is written what such a call is doing, when it takes long."""

    def call(self, work: Callable[[], Any], *, apart: bool = False) -> Any:
        """The result of `work()`; `apart` calls it in a thread beside in any case (an event loop
        cannot run where one runs already, as in a notebook).

        Raises what `work` raises, `OutOfTimeError` and `ScoringCancelledError`.
        """
        limited = self.seconds is not None or self.should_stop is not None
        if not limited and not apart:
            return work()
        watch = _Watch(self)
        if _can_be_signalled() and not apart:
            return _call_here(work, watch)
        with watched(self.watch_file):
            return _call_apart(work, watch, self.beside)


class _Watch:
    """The time of one call."""

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._began = time.monotonic()
        self._asked: float | None = None
        self.interrupted = False

    def stopped(self) -> bool:
        """Whether somebody asked for its end, a moment ago."""
        should_stop = self._limit.should_stop
        if should_stop is None or not should_stop():
            return False
        if self._asked is None:
            self._asked = time.monotonic()
        return time.monotonic() - self._asked >= _LAST_WAIT

    def late(self) -> bool:
        """Whether its time is over."""
        seconds = self._limit.seconds
        return seconds is not None and time.monotonic() - self._began >= seconds

    def over(self) -> bool:
        """Whether it has to end, for either reason."""
        return self.late() or self.stopped()

    def error(self, goes_on: bool) -> WorkbenchError:
        """Why it was ended."""
        if self.late():
            return OutOfTimeError(goes_on)
        return ScoringCancelledError("scoring was broken off, as asked; nothing of it is kept.")


# ----------------------------------------------------------------------------- in the main thread


def _can_be_signalled() -> bool:
    return _SIGNAL is not None and threading.current_thread() is threading.main_thread()


def _call_here(work: Callable[[], Any], watch: _Watch) -> Any:
    try:
        with _signals(watch):
            value = work()
    except BaseException:
        if not watch.interrupted:
            raise  # its own, or a person's
        # None: what a call raises once it was interrupted says nothing that this error does not.
        raise watch.error(goes_on=False) from None
    # A bare `except:` swallows the interrupt too, and what follows was made up in its place.
    if watch.interrupted:
        raise watch.error(goes_on=False)
    return value


@contextmanager
def _signals(watch: _Watch) -> Iterator[None]:
    """Inside, the call is interrupted once it has to end: as by Ctrl-C, which libraries are
    prepared for and no `except Exception` of a reward swallows. One that a bare `except:` swallows
    is repeated, and ends the call all the same once that returns."""
    assert _SIGNAL is not None
    done = threading.Event()

    def interrupt(signum: int, frame: Any) -> None:
        # The timer counts the processor's seconds and may come early.
        if watch.over() and not done.is_set():
            watch.interrupted = True
            raise KeyboardInterrupt

    before = signal.signal(_SIGNAL, interrupt)
    # The thread wakes a call that waits. The timer is for one that keeps the interpreter to itself,
    # so that no thread runs: the system sends its signals.
    watcher = threading.Thread(target=_send_signals, args=(watch, done), daemon=True)
    watcher.start()
    signal.setitimer(signal.ITIMER_VIRTUAL, _REPEAT, _REPEAT)
    try:
        yield
    finally:
        done.set()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        # No signal may come once the handler is gone.
        watcher.join()
        signal.signal(_SIGNAL, before)


def _send_signals(watch: _Watch, done: threading.Event) -> None:
    assert _SIGNAL is not None
    pause = _POLL
    while not done.wait(pause):
        if watch.over():
            signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
            pause = _REPEAT


# ------------------------------------------------------------------------------ in a thread beside


def _call_apart(work: Callable[[], Any], watch: _Watch, beside: Beside) -> Any:
    thread = beside.take()
    outcome = thread.begin(work)
    while not outcome.done.wait(_POLL):
        if watch.over():
            raise watch.error(goes_on=True)
    # Only now: whatever ends the wait, an interrupt included, the next call gets another thread.
    beside.give_back(thread)
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
