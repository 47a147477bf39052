"""Where a call of a reward function is, when it takes long: written by a thread that Python's
interpreter lock does not stop.

A regular expression of `re` that backtracks, or other C code that keeps the lock, stops every other
thread of the process: a session's limit, the notebook, Ctrl-C. Nothing in the process can end it
(in the main thread a signal can, see `time_limit.py`). What can be done from outside is to say
where it is: `faulthandler` needs no lock, and writes the stacks into a file beside the record,
which `workbench doctor RUN` reads from a terminal.
"""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WATCH_AFTER = 30.0
"""Seconds of one call after which its place is written; the file goes when the call returns."""
WATCH_FILE = "reward_call.txt"
"""Its name, in a run's folder."""

_FRAME = re.compile(r'  File "(?P<file>[^"\n]*)", line (?P<line>\d+) in (?P<name>[^\n]*)')
_OURS = ("workbench/rewards/calling.py", "workbench\\rewards\\calling.py")
"""The frame below which a reward function's own begin."""


@contextmanager
def watched(place: Path | None) -> Iterator[None]:
    """Inside, a call is made; where it takes longer than `WATCH_AFTER` its stack is in the file
    `place`. faulthandler has one such timer for the process, which belongs to this while it
    lasts."""
    if place is None:
        yield
        return
    try:
        file = place.open("w", encoding="utf-8")
    except OSError:
        # The folder is gone or closed, which the record says itself when the step is written.
        yield
        return
    try:
        with file:
            faulthandler.dump_traceback_later(WATCH_AFTER, exit=False, file=file)
            try:
                yield
            finally:
                # Before the file is closed: its number may soon be another file's.
                faulthandler.cancel_dump_traceback_later()
    finally:
        # However the call has ended, it has: whoever froze never comes here.
        place.unlink(missing_ok=True)


def stuck_at(place: Path, most: int = 3) -> list[str]:
    """Where the call was that the file tells of, innermost first, "function (file, line 3)"; empty
    where there is no file, or nothing was written."""
    try:
        text = place.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    frames: list[str] = []
    for line in text[:100_000].splitlines():
        found = _FRAME.match(line)
        if found is None:
            # Another thread's stack begins.
            frames.clear()
        elif found["file"].endswith(_OURS):
            return frames[:most]
        else:
            frames.append(f"{found['name']} ({found['file']}, line {found['line']})")
    return []
