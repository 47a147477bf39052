"""Whose turn it is. There is one machine, so one session of the process trains at a time; and
sessions that share a model in memory (a branch and its parent) take turns with its weights."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Participant(Protocol):
    """What takes turns: a session's runner."""

    @property
    def model(self) -> Any:
        """The model that it trains; None when it has given it back."""
        ...

    def pause(self) -> None:
        """Rest after the step in hand; returns when it rests."""
        ...


class Turn:
    """Who trains now, and whose weights each model holds.

    `to_work` and `to_use` hold one lock of the whole process, from the moment the others are told
    to rest until the new work is known to run: otherwise two sessions that start at once would
    each find the other at rest. It is reentrant, because a branch starts its child inside its own
    turn. Whoever holds a session's lock may wait for this one, never the other way round.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._at_work: weakref.WeakSet[Participant] = weakref.WeakSet()
        self._owner_of_weights: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()

    @contextmanager
    def to_work(self, participant: Participant) -> Iterator[None]:
        """Inside, everybody else rests and nobody else can start."""
        with self._lock:
            # A copy, since whoever comes to rest leaves the set.
            for other in list(self._at_work):
                if other is not participant:
                    other.pause()
            yield

    @contextmanager
    def to_use(self, model: Any) -> Iterator[None]:
        """Inside, whoever trains this model rests and nobody can start; others train on."""
        with self._lock:
            for other in list(self._at_work):
                if other.model is model:
                    other.pause()
            yield

    def begins(self, participant: Participant) -> None:
        """It works from now on: whoever takes the turn will make it rest."""
        self._at_work.add(participant)

    def ends(self, participant: Participant) -> None:
        """It rests again."""
        self._at_work.discard(participant)

    def holds_weights_of_another(self, model: Any, owner: object) -> bool:
        """Whether the weights in `model` are those of somebody else than `owner`."""
        return self._owner_of_weights.get(model, owner) is not owner

    def weights_belong_to(self, model: Any, owner: object) -> None:
        """The weights in `model` are now those of `owner`: any object that does not itself lead to
        the model, or the model would never be freed."""
        self._owner_of_weights[model] = owner


TURN = Turn()
"""The one of this process."""
