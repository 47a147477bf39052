"""A person's own copy of the course: what is written, run and saved in it changes no file of the
repository, and none of the installed package.

A copy that was never touched follows the course; one that was stays as it is, until a person asks
for the course's own version back.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from workbench import __version__

FOLDER = "my-notebooks"
COPIED = (".ipynb", ".md")
LIST = ".copied.json"
"""In the copy: each file's name, and the SHA-256 of what was copied."""
REPOSITORY = "https://github.com/grpo-workbench/grpo-workbench/blob"
FILES = "https://raw.githubusercontent.com/grpo-workbench/grpo-workbench"


@dataclass(frozen=True)
class Course:
    """The notebooks as they came, and where a person's copy of them lies."""

    source: Path
    folder: Path
    has_repository: bool = True
    """Whether docs/ and the code, to which notebooks link, lie beside both."""

    def names(self) -> list[str]:
        """The files of the course, in its order."""
        return sorted(path.name for path in self.source.iterdir() if path.suffix in COPIED)

    def content(self, name: str) -> bytes:
        """A file as it is copied; without a repository its links lead into the published one."""
        read = (self.source / name).read_bytes()
        return read if self.has_repository else with_links_out(read)


@dataclass
class Copied:
    """What a copying did."""

    folder: Path
    new: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Files that a person has changed, and the course since then, too."""


def with_links_out(content: bytes) -> bytes:
    """The links `](../PATH)` of a notebook, to the release that is installed: pictures as bytes,
    the rest as pages."""
    files = f"]({FILES}/v{__version__}/".encode()
    pages = f"]({REPOSITORY}/v{__version__}/".encode()
    content = re.sub(rb"\]\(\.\./(?=[^)]+\.(?:svg|png|webp)\))", files, content)
    return content.replace(b"](../", pages)


def copy_for_a_person(course: Course) -> Copied:
    """Copy the notebooks of the course; returns what was done. Raises OSError."""
    copied = Copied(course.folder)
    copied.folder.mkdir(exist_ok=True)
    before = _list_of(copied.folder)
    for name in course.names():
        own = copied.folder / name
        content = course.content(name)
        offered = _hash(content)
        found = _hash(own.read_bytes()) if own.is_file() else None
        if found == offered:
            before[name] = offered
        elif found is None or found == before.get(name):
            _write(own, content)
            before[name] = offered
            copied.new.append(name)
        elif before.get(name) != offered:
            copied.kept.append(name)
    _keep_list(copied.folder, before)
    return copied


def put_back(course: Course, name: str) -> tuple[Path, Path | None]:
    """The course's own version of a notebook, in place of a person's; returns it and where theirs
    is kept now, None where it was not changed. Raises OSError."""
    own = course.folder / name
    content = course.content(name)
    course.folder.mkdir(exist_ok=True)
    kept = None
    if own.is_file() and own.read_bytes() != content:
        kept = _free_name(own)
        own.rename(kept)
    _write(own, content)
    _keep_list(course.folder, _list_of(course.folder) | {name: _hash(content)})
    return own, kept


def _free_name(own: Path) -> Path:
    """03_kl_and_beta.yours.ipynb, or with a number where that is taken."""
    number = 1
    while True:
        mark = "yours" if number == 1 else f"yours-{number}"
        kept = own.with_name(f"{own.stem}.{mark}{own.suffix}")
        if not kept.exists():
            return kept
        number += 1


def _list_of(folder: Path) -> dict[str, str]:
    place = folder / LIST
    return dict(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else {}


def _keep_list(folder: Path, listed: dict[str, str]) -> None:
    _write(folder / LIST, json.dumps(listed, indent=1).encode())


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: half a notebook would count as a person's own."""
    draft = path.with_name(f".writing-{path.name}")
    draft.write_bytes(content)
    os.replace(draft, path)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
