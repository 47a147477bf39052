"""The publisher: draws at most five times a second, in a thread of its own, when a session has
something new.

The trainer's thread only sets an event; it never waits for a widget. While a cell waits for the
session (as in Colab, where drawing from another thread does not reach the page) the main thread
draws instead.

A cell that makes a dashboard may run again, and nobody tells the kernel that the first one has left
the page. So only the newest publisher of a session draws; the ones before come to rest until a
person asks for them again.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.training.session import Session

INTERVAL = 0.2
"""Seconds between two drawings."""
GLANCE = 0.25
"""Seconds after a look at the step in hand."""
SHARE = 0.2
"""The largest share of the time that is spent drawing: pages that are slow to draw are drawn less
often."""
_open: weakref.WeakSet[Publisher] = weakref.WeakSet()


class Publisher:
    """Calls `draw` after one of the sessions changed, the first of which is in focus. Without a
    session it does nothing: a stored run does not change.

    Between two changes it calls `glance`, which has to be cheap, while the one in focus makes a
    step. `rested` is called when a newer publisher of the session in focus takes over; `resume`
    goes on.
    """

    def __init__(
        self,
        draw: Callable[[], None],
        sessions: Sequence[Session] = (),
        rested: Callable[[], None] = lambda: None,
        glance: Callable[[], None] = lambda: None,
    ) -> None:
        self._draw, self._rested, self._glance = draw, rested, glance
        # Something is to be drawn: all of it, or else the step in hand alone.
        self._changed, self._lock = threading.Event(), threading.RLock()
        self._stale = True
        self._sessions: list[Session] = []
        self._leave: list[Callable[[], None]] = []
        self._ended: threading.Event | None = None
        self._next = 0.0
        if sessions:
            self.follow(*sessions)

    @property
    def resting(self) -> bool:
        """True when nothing is drawn by itself."""
        return self._ended is None

    def follow(self, *sessions: Session) -> None:
        """Put the first of `sessions` in focus and listen to all, too; another publisher with that
        focus comes to rest."""
        # A copy, since one that comes to rest leaves the set.
        for other in list(_open):
            if other is not self and other._sessions[:1] == [sessions[0]]:
                other.rest()
        with self._lock:
            self._stop()
            # Those followed before stay: they may be drawn beside the new one.
            self._sessions = list(dict.fromkeys([*sessions, *self._sessions]))
            self.resume()

    def resume(self) -> None:
        """Listen and draw, from now on."""
        # Not at the top: it brings torch with it, which a page of stored runs does without.
        from workbench.training.session.pump import PUBLISHERS

        with self._lock:
            if not self.resting or not self._sessions:
                return
            self._leave = [session.subscribe(self._change) for session in self._sessions]
            self._leave.append(self._sessions[0].watch(self._changed.set))
            PUBLISHERS.append(self.publish)
            self._leave.append(lambda: PUBLISHERS.remove(self.publish))
            _open.add(self)
            self._ended = threading.Event()
            # The first picture does not wait for a change.
            self._change()
            threading.Thread(
                target=self._loop, args=(self._ended,), name="workbench publisher", daemon=True
            ).start()

    def _change(self) -> None:
        self._stale = True
        self._changed.set()

    def publish(self, at_once: bool = False) -> None:
        """Draw if something changed and the last drawing is long enough ago, or `at_once`."""
        if at_once or (self._changed.is_set() and time.monotonic() >= self._next):
            # Before drawing: what changes meanwhile is for the next time.
            self._changed.clear()
            whole = self._stale or at_once
            if whole:
                self._stale = False
            began = time.monotonic()
            (self._draw if whole else self._glance)()
            ended = time.monotonic()
            # A slow page waits longer, so that drawing keeps to its share of the time.
            least = INTERVAL if whole else GLANCE
            self._next = ended + max(least, (ended - began) * (1 / SHARE - 1))

    def _loop(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self._changed.wait()
            # Changes that come in quick succession are drawn once, together.
            if not ended.wait(max(0.0, self._next - time.monotonic())):
                self.publish()

    def rest(self) -> None:
        """Draw no more until `resume`, and say so."""
        if not self.resting:
            self.close()
            self._rested()

    def close(self) -> None:
        """Stop listening and end the thread. Twice does nothing."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        _open.discard(self)
        for leave in self._leave:
            leave()
        self._leave = []
        if self._ended is not None:
            self._ended.set()
            self._ended = None
            self._changed.set()  # wakes the thread, which ends
