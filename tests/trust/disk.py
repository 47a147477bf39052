"""A disk that fails at a chosen moment, for processes that were started with it
(`faulty_disk.c`)."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("faulty_disk.c")
TAKE_ROOM = (
    "open64",
    "open",
    "openat",
    "openat64",
    "write",
    "pwrite",
    "pwrite64",
    "writev",
    "sendfile",
    "sendfile64",
    "copy_file_range",
    "fsync",
    "fdatasync",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "ftruncate",
    "ftruncate64",
)
WRITES = ("write", "pwrite", "pwrite64", "writev", "sendfile", "sendfile64", "copy_file_range")


@dataclass(frozen=True)
class Mishap:
    """What happens at the n-th operation."""

    code: int
    """As `faulty_disk.c` counts them."""
    error: int = 0
    only: tuple[str, ...] = ()
    """The operations that it can befall; empty = all."""

    def befalls(self, operation: str) -> bool:
        """Whether it makes a difference at such an operation."""
        return not self.only or operation in self.only


MISHAPS = {
    "killed before it": Mishap(4),
    "no room from there on": Mishap(2, errno.ENOSPC, TAKE_ROOM),
    "no room once": Mishap(1, errno.ENOSPC, TAKE_ROOM),
    "input/output error once": Mishap(1, errno.EIO),
    "forbidden from there on": Mishap(2, errno.EPERM),
    "half of it written": Mishap(3, 0, WRITES),
    "killed with half of it written": Mishap(6, 0, WRITES),
}


def compiled(folder: Path) -> Path | None:
    """The library, or None where there is no compiler or no Linux to run it on."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/proc/self/fd").is_dir():
        return None
    library = folder / "faulty_disk.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


def arm(folder: Path, mishap: Mishap | None, n: int, log: Path) -> None:
    """From here on this process's operations below `folder` are counted and written to `log`; at
    the `n`-th the mishap happens."""
    handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    code, error = (0, 0) if mishap is None else (mishap.code, mishap.error)
    ctypes.CDLL(None).disk_arm(str(folder).encode(), code, error, ctypes.c_long(n), handle)


def operations(log: Path) -> list[tuple[str, str]]:
    """Name and place of each operation that was counted."""
    words = [line.split() for line in log.read_text().splitlines()]
    return [(line[1], line[2] if len(line) > 2 and line[2] != "*" else "") for line in words]
