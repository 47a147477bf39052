"""What a session may be doing, and what may follow what."""

from __future__ import annotations

import threading
from collections.abc import Collection
from enum import StrEnum

from workbench.training.session.errors import StatusError


class Status(StrEnum):
    """The words are those that people see."""

    READY = "ready"
    """Made or resumed, and not asked for anything yet."""
    RUNNING = "running"
    """A thread makes steps: new ones, or old ones again after a rewind or for a branch."""
    PAUSED = "paused"
    """Rests after a whole step; its record is open."""
    STOPPED = "stopped"
    """Ended by a person; its record says so and is closed. It may still go on."""
    FINISHED = "finished"
    """Has made all its steps. It goes on after a rewind or an extension."""
    FAILED = "failed"
    """An error ended the work and has not been raised to anybody yet."""
    FREED = "freed"
    """Has given its memory back: the record can be read, and nothing else."""


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.READY: frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPED}),
    # To READY: what a tornado leaves of a session that had made no step.
    Status.RUNNING: frozenset(
        {Status.READY, Status.PAUSED, Status.STOPPED, Status.FINISHED, Status.FAILED}
    ),
    # To itself: extended while it rests.
    Status.PAUSED: frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPED}),
    # From here on, to PAUSED: extended, so that there are steps to make again.
    Status.STOPPED: frozenset({Status.RUNNING, Status.PAUSED, Status.FREED}),
    Status.FINISHED: frozenset({Status.RUNNING, Status.PAUSED, Status.FREED}),
    # To PAUSED also when the error has been raised: the next start tries again.
    Status.FAILED: frozenset({Status.RUNNING, Status.PAUSED, Status.FREED}),
    # A freed session has no trainer, so nothing can follow.
    Status.FREED: frozenset(),
}


class StatusMachine:
    """The status of one session. Every change is checked against `TRANSITIONS`.

    It has a lock of its own, held for a moment only: a session's own lock may be held for as long
    as a step takes by whoever waits for that step, and a status must be readable meanwhile.
    """

    def __init__(self, first: Status) -> None:
        self._lock = threading.Lock()
        self._now = first

    @property
    def now(self) -> Status:
        """The status at this moment."""
        return self._now

    def move(self, to: Status) -> None:
        """Change to `to`. Raises `StatusError` where that may not follow."""
        with self._lock:
            self._move(to)

    def move_from(self, allowed: Collection[Status], to: Status) -> bool:
        """Change to `to` if the status is one of `allowed` and another; says whether it was.

        Asked and changed in one go: between the two, another thread might have started a step.
        """
        with self._lock:
            if self._now not in allowed or self._now is to:
                return False
            self._move(to)
            return True

    def _move(self, to: Status) -> None:
        if to not in TRANSITIONS[self._now]:
            raise StatusError(
                f"a session that is {self._now.value} cannot become {to.value}. This is a mistake "
                "in the workbench; please report it with what you did."
            )
        self._now = to
