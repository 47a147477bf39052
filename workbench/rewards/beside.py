"""A thread beside the caller's, in which one call after another is made, and which can be left to
itself."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any


class Outcome:
    """What came of a call, once `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


Calls = queue.SimpleQueue[tuple[Callable[[], Any], Outcome] | None]


class CallThread:
    """A daemon, so that no exit of the process waits for it. It ends when nobody holds this object
    any more and the call in hand has returned."""

    def __init__(self) -> None:
        self._calls: Calls = queue.SimpleQueue()
        # The thread holds the queue and not this object, so that it can be let go.
        threading.Thread(
            target=_serve, args=(self._calls,), name="reward functions", daemon=True
        ).start()
        weakref.finalize(self, self._calls.put, None)

    def begin(self, work: Callable[[], Any]) -> Outcome:
        """Call `work()` there, with the caller's context variables."""
        outcome = Outcome()
        context = contextvars.copy_context()
        self._calls.put((lambda: context.run(work), outcome))
        return outcome


class Beside:
    """Keeps a thread from one call to the next, for what a reward keeps by thread or by event loop:
    a connection to a database, an async client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: CallThread | None = None

    def __reduce__(self) -> tuple[type[Beside], tuple[()]]:
        """A copy, or what is unpickled, has a thread of its own."""
        return Beside, ()

    def take(self) -> CallThread:
        """The thread of the last call, or a new one where that has not returned."""
        with self._lock:
            thread = self._free
            self._free = None
        return thread or CallThread()

    def give_back(self, thread: CallThread) -> None:
        """Its call has returned: it is there for the next one."""
        with self._lock:
            self._free = thread


_KEPT = threading.local()
"""`runner`: the event loop of a thread, kept for its whole life."""


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Its result, from this thread's event loop; only for a thread in which none runs.

    `asyncio.run` would make a loop anew each time, and an async client that outlives its first loop
    fails in the second with "Event loop is closed".
    """
    if not hasattr(_KEPT, "runner"):
        _KEPT.runner = asyncio.Runner()
    return _KEPT.runner.run(coroutine, context=contextvars.copy_context())


def _serve(calls: Calls) -> None:
    try:
        while (call := calls.get()) is not None:
            work, outcome = call
            try:
                outcome.value = work()
            except BaseException as error:  # raised again in the thread that waits
                outcome.error = error
            outcome.done.set()
            # Nothing of a call is held until the next one.
            del call, work, outcome
    finally:
        if hasattr(_KEPT, "runner"):
            _KEPT.runner.close()
