"""A person's own copy of the course: what is written, run and saved in it changes no file of the
repository.

A copy that was never touched follows the course; one that was stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "my-notebooks"
COPIED = (".ipynb", ".md")
LIST = ".copied.json"
"""In the copy: each file's name, and the SHA-256 of what was copied."""


@dataclass
class Copied:
    """What a copying did."""

    folder: Path
    new: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Files that a person has changed, and the course since then, too."""


def copy_for_a_person(course: Path) -> Copied:
    """Copy the notebooks of `course` into the folder beside it; returns what was done. Raises
    OSError."""
    copied = Copied(course.parent / FOLDER)
    copied.folder.mkdir(exist_ok=True)
    before = _list_of(copied.folder)
    for source in sorted(path for path in course.iterdir() if path.suffix in COPIED):
        own = copied.folder / source.name
        offered = _hash(source)
        untouched = not own.is_file() or before.get(source.name) == _hash(own)
        if untouched and before.get(source.name) == offered and own.is_file():
            continue
        if untouched:
            shutil.copyfile(source, own)
            before[source.name] = offered
            copied.new.append(source.name)
        elif before.get(source.name) != offered:
            copied.kept.append(source.name)
    (copied.folder / LIST).write_text(json.dumps(before, indent=1), encoding="utf-8")
    return copied


def _list_of(folder: Path) -> dict[str, str]:
    place = folder / LIST
    return dict(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else {}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
