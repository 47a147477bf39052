"""Training that is asked for while other work is in hand, so that no such call is lost."""

from __future__ import annotations

import threading
from collections import deque

from workbench.training.session.errors import SessionError

ALL_STEPS = None
"""In place of a number of steps: all that are left."""


class Requests:
    """What is to be trained after the work in hand, in the order in which it was asked for.

    Whether more is taken and what comes next are one question under one lock: what is taken after
    the last look of the worker's thread would never be done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._takes_more = False
        # Whether nothing is left after what is known already.
        self._reaches_the_end = False
        self._waiting: deque[int | None] = deque()

    def begin(self, reaches_the_end: bool) -> None:
        """Work begins; `reaches_the_end`: it makes all steps that are left."""
        with self._lock:
            self._takes_more = True
            self._reaches_the_end = reaches_the_end
            self._waiting.clear()

    def end(self) -> None:
        """The work in hand is asked to rest or has failed: nothing follows it."""
        with self._lock:
            self._takes_more = False
            self._waiting.clear()

    def add(self, steps: int | None) -> bool:
        """Take a request for `steps` more, or all; False where no work is in hand that it could
        follow. Raises `SessionError` for steps after the last."""
        with self._lock:
            if not self._takes_more:
                return False
            if self._reaches_the_end:
                if steps is ALL_STEPS:
                    return True  # asked for already
                raise SessionError(
                    f"step(n={steps}): the session is making all the steps that are left. "
                    "pause() first."
                )
            self._reaches_the_end = steps is ALL_STEPS
            self._waiting.append(steps)
            return True

    def take(self) -> tuple[int | None] | None:
        """The next request, in a tuple, since it may be ALL_STEPS; None where there is none, and
        from then on none is taken."""
        with self._lock:
            if self._waiting:
                return (self._waiting.popleft(),)
            self._takes_more = False
            return None
