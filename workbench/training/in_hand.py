"""What the step in hand is doing: its phase, how many completions have ended, the newest one.

The training thread writes it and waits for nobody. While nobody listens nothing is copied from the
device and nothing decoded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from workbench.rollout.look import Look
from workbench.training.listeners import Listeners

EVERY = 0.25
"""Seconds between two words of a rollout that goes on."""
TAIL_TOKENS = 48
"""Of a completion that is being sampled, its newest tokens are decoded: the cost of a word does not
grow with its length."""
TAIL_CHARACTERS = 400
BROKEN = "\ufffd"
"""What stands for a character of which only some bytes are there: at either end of the tail."""


class InHand:
    """One for each trainer; `decode` gives the text of tokens. Read from any thread."""

    phase: str
    """rollout, reward, logprobs, update (as the record names their seconds), or evaluation; empty
    outside a step."""
    rollout: tuple[int, int] | None
    """Completions finished and wanted of the rollout in hand; None outside one. The native engine
    counts them, others finish all at once."""
    newest: str
    """The end of a completion of the newest rollout: of one that is being sampled, and afterwards
    of its last one. Of the native engine's while somebody listens; hostile text."""
    listeners: Listeners
    """Told when one of these has changed: of each phase, of a rollout at most so often."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self.phase = ""
        self.rollout = None
        self.newest = ""
        self.listeners = Listeners("the step in hand")
        self._decode = decode
        self._told_at = -EVERY

    def enter(self, phase: str) -> None:
        """The step is at this phase now."""
        self.phase = phase
        self.listeners.tell()

    def leave(self) -> None:
        """No step is in hand; the newest completion stays what it is."""
        self.enter("")

    @contextmanager
    def counting(self, wanted: int) -> Iterator[None]:
        """A rollout of so many completions, which are counted."""
        self.rollout = (0, wanted)
        try:
            yield
        finally:
            self.rollout = None

    def looked(self, look: Look) -> None:
        """The engine has looked; evaluations sample with it too, and are not counted."""
        if self.rollout is None:
            return
        self.rollout = (look.finished, look.wanted)
        now = time.monotonic()
        if not self.listeners or now - self._told_at < EVERY:
            return
        self._told_at = now
        self.newest = self._decode(look.written()[-TAIL_TOKENS:]).strip(BROKEN)
        self.listeners.tell()

    def sampled(self, completions: Sequence[str]) -> None:
        """The rollout is over."""
        self.newest = completions[-1][-TAIL_CHARACTERS:]
