"""Folders that appear whole or not at all, what a kill leaves of them, and why one could not be
written.

A folder is filled under another name, flushed to the disk and renamed; one that is replaced or
deleted is renamed first, too. So a folder with the right name is whole, whenever the process is
killed, and whatever has another name may go at the next start.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = ".writing-"
REPLACED = ".replaced-"
DELETING = ".deleting-"
FILLED = ".filled"

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
SPELLED_NUMBER = re.compile(r"(?:os error|code:|\[Errno) (\d+)")
"""How the system's error number is spelled in messages of libraries that are written in Rust
(safetensors, tokenizers) and of `shutil.Error`, which has several."""

_in_hand = threading.RLock()
"""Held while this process writes or deletes such a folder: what another of its threads has in hand
is no leftover."""


def draft_of(final: Path) -> Path:
    """Where the folder `final` lies while it is being written."""
    return final.with_name(f"{WRITING}{final.name}")


@contextmanager
def whole_folder(
    final: Path, before_it_stands: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """A folder to be filled in the block. Afterwards it stands at `final`, whole, in place of any
    that was there; or not at all, when the block or `before_it_stands` raises."""
    with _in_hand:
        clear_leftovers(final.parent)
        draft = draft_of(final)
        before = final.with_name(f"{REPLACED}{final.name}")
        try:
            draft.mkdir(parents=True)
            yield draft
            # On the disk before the rename: else a power cut could leave the name without the
            # content.
            for path in [*draft.rglob("*"), draft]:
                _flush(path)
            before_it_stands()
            # A full folder cannot be renamed over. Killed between these two renames,
            # `clear_leftovers` undoes the first.
            if final.exists():
                os.replace(final, before)
            os.replace(draft, final)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            if before.exists() and not final.exists():
                os.replace(before, final)
            raise
        # The rename itself is written in the folder above.
        _flush(final.parent)
        shutil.rmtree(before, ignore_errors=True)


@contextmanager
def filled_folder(folder: Path) -> Iterator[Path]:
    """A folder to be filled in the block. Afterwards its files stand in `folder`: all or none where
    that is new; where it is there they replace those of their names, each whole, and others
    stay."""
    if not folder.exists():
        with whole_folder(folder) as draft:
            yield draft
        return
    with whole_folder(folder / FILLED) as draft:
        yield draft
    for file in sorted((folder / FILLED).iterdir()):
        os.replace(file, folder / file.name)
    (folder / FILLED).rmdir()


def delete_folder(folder: Path) -> None:
    """Delete it so that a kill in the middle leaves no half of it under its name."""
    with _in_hand:
        doomed = folder.with_name(f"{DELETING}{folder.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(folder, doomed)
        shutil.rmtree(doomed)


def clear_leftovers(parent: Path) -> None:
    """Tidy up what killed writers left in `parent`: drafts and half-deleted folders go, a folder
    that was moved aside and not replaced comes back.

    To be called by whoever may write there: another process's draft looks the same.
    """
    with _in_hand:
        for before in parent.glob(f"{REPLACED}*"):
            final = parent / before.name.removeprefix(REPLACED)
            if final.exists():
                shutil.rmtree(before)
            else:
                os.replace(before, final)
        for prefix in (WRITING, DELETING):
            for leftover in parent.glob(f"{prefix}*"):
                shutil.rmtree(leftover)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Turns what a library that is written in Rust says of the disk, in a class of its own or in
    none, into the `OSError` that it was."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        number = _number_of(error)
        if number == 0:
            raise
        raise OSError(number, os.strerror(number)) from error


def why_not_written(error: Exception, place: Path, size: int) -> str:
    """In words, why `size` bytes could not be written below `place`."""
    number = _number_of(error)
    if number in NO_ROOM:
        free = shutil.disk_usage(_existing(place)).free
        reason = os.strerror(number)
        return f"no room for {_amount(size)} in {place} ({reason}; {_amount(free)} are free)"
    if number in FORBIDDEN:
        return f"{place} may not be written to ({os.strerror(number)})"
    return f"{place} could not be written to ({type(error).__name__}: {error})"


def _number_of(error: Exception) -> int:
    """The system's number of an error; 0 where it has none."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = SPELLED_NUMBER.search(str(error))
    return int(found[1]) if found else 0


def _existing(place: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (place, *place.absolute().parents) if path.exists())


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
