"""The thread that trains while the kernel stays free. It lives only while there is something to
do: a resting session keeps no thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar

_AT_WORK: ContextVar[object] = ContextVar("at work", default=None)
"""Whose work a thread does. A context variable, because reward functions are called in a thread
beside, which inherits the context."""


class Worker:
    """Does one piece of work at a time."""

    stop: threading.Event
    """Set to ask the work in hand to end after its step."""
    idle: threading.Event
    """Set while nothing is being done."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.stop = threading.Event()
        self.idle = threading.Event()
        self.idle.set()

    def launch(self, work: Callable[[], None]) -> None:
        """Run `work()` in a thread; it has to end with `rests()`."""
        # Both before the thread starts: whoever waits from now on must wait for this work, and a
        # request to stop that comes from now on is meant for it.
        self.stop.clear()
        self.idle.clear()
        # A daemon, so that a kernel that is shut down does not wait for the end of the run.
        threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        _AT_WORK.set(self)
        work()

    def rests(self) -> None:
        """The work has ended: whoever waits may go on."""
        self.idle.set()

    def is_asked_from_within(self) -> bool:
        """Whether the caller is a part of its own work: a listener or a reward function."""
        return _AT_WORK.get() is self

    def wait(self) -> None:
        """Block until it rests; at once inside its own work, where a listener or a reward asks in
        the middle of a step and would wait for itself."""
        if self.is_asked_from_within():
            return
        # Never join: an interrupted join marks a living thread as dead before Python 3.13. A short
        # timeout, because a wait without one cannot be interrupted on Windows.
        while not self.idle.wait(0.05):
            pass
