"""How far a rollout is, at a moment when its engine knows it anyway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What an engine hands over between two tokens."""

    finished: int
    """Completions that have ended."""
    wanted: int
    """Completions of the rollout."""
    written: Callable[[], list[int]]
    """The tokens so far of a completion that is being sampled, the same one until it ends; after
    the last one's end of that. Copied from the device when it is called, which costs nothing where
    nobody calls it; to be called inside `on_look` alone, where the device has nothing to do."""
