"""A file that stands whole or not at all, whenever the process is killed or the disk refuses."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole_file(path: Path, content: bytes) -> None:
    """Write the file under another name and rename it when it is on the disk; one that was there is
    replaced then. A pipe or a device is written to as it is. Raises OSError; what was there is as
    it was then."""
    # Of a link, what it leads to.
    place = path.resolve()
    if place.exists() and not place.is_file():
        place.write_bytes(content)
        return
    draft = place.with_name(f".{place.name}.new")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, place)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
