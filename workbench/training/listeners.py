"""Whoever wants to hear that a session changed: called from any thread, dropped when it raises."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress

Listener = Callable[[], None]


class Listeners:
    """Callables without arguments; `owner` names them in the warning about one that failed."""

    def __init__(self, owner: object) -> None:
        self._owner = owner
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Call `listener()` at every `tell()` from now on. Returns the way to be left out again."""
        self._listeners.append(listener)

        def leave() -> None:
            # To leave twice, or after being dropped for an error, does nothing.
            with suppress(ValueError):
                self._listeners.remove(listener)

        return leave

    def tell(self) -> None:
        """Call them all. One that raises is named in a warning and not called again: no view may
        stop the training."""
        # A copy, since a listener may leave while it is called.
        for listener in list(self._listeners):
            try:
                listener()
            except Exception as e:
                with suppress(ValueError):
                    self._listeners.remove(listener)
                warnings.warn(
                    f"a listener of {self._owner!r} failed and is not called any more: "
                    f"{type(e).__name__}: {e}",
                    stacklevel=3,
                )
