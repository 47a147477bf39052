"""How far `workbench eval` is, at which rate, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.commands.printing import say_aside, terminal

SECONDS_BETWEEN_LINES = 60.0
"""Of progress, where nobody looks at a terminal."""


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """What takes the number of answered problems: a bar with rate and time left on a terminal, a
    line a minute elsewhere."""
    console = terminal()
    if quiet:
        yield lambda done: None
    elif console.is_terminal:
        with _bar(console, total) as show:
            yield show
    else:
        yield _Lines(total)


@contextmanager
def _bar(console: Any, total: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    rate = TextColumn("{task.fields[rate]}")
    columns = (MofNCompleteColumn(), BarColumn(), rate, TimeRemainingColumn())
    pace = Pace(total)
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=total, rate="")

        def show(done: int) -> None:
            bars.update(bar, completed=done, rate=pace.rate_words(done))

        yield show


class Pace:
    """How quickly problems are answered, those that a file held already left out."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.began = time.monotonic()
        self.first: int | None = None

    def rate(self, done: int) -> float:
        """Problems a second since the first call; 0 while none was answered."""
        if self.first is None:
            self.first = done
            self.began = time.monotonic()
        seconds = time.monotonic() - self.began
        return (done - self.first) / seconds if seconds > 0 else 0.0

    def rate_words(self, done: int) -> str:
        """The rate, in whichever unit is above 1; empty while it is not known."""
        rate = self.rate(done)
        if rate == 0:
            return ""
        return f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"

    def left_words(self, done: int) -> str:
        """The time that is left at this rate."""
        rate = self.rate(done)
        if rate == 0:
            return "time left not known yet"
        minutes, seconds = divmod(round((self.total - done) / rate), 60)
        return f"{minutes} min {seconds:02d} s left"


class _Lines:
    """Says on standard error how far it is, a line a minute."""

    def __init__(self, total: int) -> None:
        self.pace = Pace(total)
        self.said = time.monotonic()

    def __call__(self, done: int) -> None:
        words = self.pace.rate_words(done)
        if time.monotonic() - self.said < SECONDS_BETWEEN_LINES or not words:
            return
        self.said = time.monotonic()
        left = self.pace.left_words(done)
        say_aside(f"{done} of {self.pace.total} problems, {words}, {left}")
