"""The publisher: draws at most five times a second, in a thread of its own, when a session has something new.

The trainer's thread only sets an event; it never waits for a widget. While a cell waits for the session (as in Colab,
where drawing from another thread does not reach the page) the main thread draws instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.training.session import Session

INTERVAL = 0.2
"""Seconds between two drawings."""


class Publisher:
    """Calls `draw` after a session changed. Without a session it does nothing: a stored run does not change."""

    def __init__(self, draw: Callable[[], None], session: Session | None) -> None:
        self._draw = draw
        self._changed, self._closed = threading.Event(), False
        self._leave: Callable[[], None] = lambda: None
        self._drawn = 0.0
        if session is not None:
            self.follow(session)
            threading.Thread(target=self._loop, name="workbench publisher", daemon=True).start()

    def follow(self, session: Session) -> None:
        """Listen to this session from now on."""
        from workbench.training.pump import PUBLISHERS

        self._leave()
        stop_listening = session.subscribe(self._changed.set)
        PUBLISHERS.append(self.publish)

        def leave() -> None:
            stop_listening()
            PUBLISHERS.remove(self.publish)

        self._leave = leave
        self._changed.set()

    def publish(self) -> None:
        """Draw if something changed and the last drawing is long enough ago."""
        if self._changed.is_set() and time.monotonic() - self._drawn >= INTERVAL:
            self._changed.clear()
            self._draw()
            self._drawn = time.monotonic()

    def _loop(self) -> None:
        while not self._closed:
            self._changed.wait()
            time.sleep(max(0.0, INTERVAL - (time.monotonic() - self._drawn)))
            self.publish()

    def close(self) -> None:
        """Stop listening and end the thread."""
        self._leave()
        self._closed = True
        self._changed.set()
