"""Whether the files that a writer has open are still the ones that stand in their place.

SQLite goes on writing into a file that was deleted, moved or replaced, and nobody will ever read
what it writes.
"""

from __future__ import annotations

from pathlib import Path


class OpenFiles:
    """A record's file, and its write-ahead log where it has one, as they were when opened."""

    said: bool
    """Whether somebody was told that they are gone."""

    def __init__(self, file: Path, journal_mode: str) -> None:
        self.said = False
        self._file = file
        files = [file]
        if journal_mode == "wal":
            files.append(file.with_name(f"{file.name}-wal"))
        self._known = {path: _identity(path) for path in files}

    def are_in_place(self, closed: bool) -> bool:
        """Closing removes the log, so that only the file itself is asked for afterwards."""
        asked = [self._file] if closed else list(self._known)
        return all(_identity(path) == self._known[path] for path in asked)


def _identity(file: Path) -> tuple[int, int] | None:
    """Device and inode; None where it cannot be found."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
