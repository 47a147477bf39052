"""How long the run will still take, from the steps that it has just made."""

from __future__ import annotations

import statistics
from collections import deque

STEPS = 8
"""Steps that the pace is taken from: the newest ones, since a knob may have changed it."""


class Pace:
    """Told of the steps as they come, says the seconds that are left."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=STEPS + 1)

    def saw(self, step: int, now: float, training: bool) -> None:
        """The run stands at `step` at the time `now`; at rest there is no pace."""
        if not training or (self._seen and step < self._seen[-1][0]):
            self._seen.clear()
        if training and (not self._seen or step > self._seen[-1][0]):
            self._seen.append((step, now))

    def seconds_left(self, last: int, now: float) -> float | None:
        """Until step `last` is made; None while it cannot be told."""
        if len(self._seen) < 2:
            return None
        pairs = zip(self._seen, list(self._seen)[1:], strict=False)
        each = statistics.median((t - s) / (b - a) for (a, s), (b, t) in pairs)
        step, at = self._seen[-1]
        return max(each * (last - step) - (now - at), 0.0)


def clock(seconds: float) -> str:
    """'0:24', '12:05', '3:07:00'."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
