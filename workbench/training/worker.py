"""The thread that trains while the kernel stays free. There is one machine, so one worker of a
process works at a time.

A worker lives only while there is something to do: a resting session keeps no thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

launching = threading.RLock()
"""Held from the moment the other workers are told to rest until the new one is known to run."""
_at_work: weakref.WeakSet[Worker] = weakref.WeakSet()


class Worker:
    """Does one piece of work at a time. `pause` makes its session rest and returns when it does;
    `model` is what it trains."""

    def __init__(self, name: str, pause: Callable[[], None], model: object) -> None:
        self._name, self.pause, self.model = name, pause, model
        self._thread: threading.Thread | None = None
        self.stop, self.idle = threading.Event(), threading.Event()
        self.idle.set()

    def launch(self, work: Callable[[], None]) -> None:
        """Run `work()` in a thread; it has to end with `done()`. The caller holds `launching` and
        has made the others rest."""
        self.stop.clear()
        self.idle.clear()
        _at_work.add(self)
        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()

    def done(self) -> None:
        """The work has ended: whoever waits may go on."""
        _at_work.discard(self)
        self.idle.set()

    def wait(self) -> None:
        """Block until it rests; at once inside its own thread, where a listener asks in the middle
        of a step."""
        if threading.current_thread() is self._thread:
            return
        while not self.idle.wait(
            0.05
        ):  # never join: an interrupted join marks a living thread dead before Python 3.13
            pass


def others_rest(but: Worker | None = None, model: object | None = None) -> None:
    """Pause all workers except `but`; with `model`, only those that train it."""
    for other in list(_at_work):
        if other is not but and (model is None or other.model is model):
            other.pause()
