"""What a container leaves a process of the machine's memory.

/proc/meminfo tells of the whole machine; a container (Docker, Kubernetes, Slurm) is a cgroup of
Linux with a limit of its own, above which the kernel ends the process without a word. Groups lie
in one another, and the tightest counts. Both versions of cgroups are read:

version 2   memory.max, memory.current, inactive_file in memory.stat
version 1   memory.limit_in_bytes, memory.usage_in_bytes, total_inactive_file in memory.stat
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NO_LIMIT = 2**60
"""Version 1 writes "none" as the largest number of pages, about 2**63 bytes."""


@dataclass(frozen=True)
class ContainerMemory:
    """The tightest limit above this process."""

    limit: int
    """Bytes."""
    free: int
    """Bytes that are left below it; pages of files that nobody reads count as free, since the
    kernel gives them back first."""


@dataclass(frozen=True)
class _Version:
    """What one version of cgroups calls its files, and where its tree is mounted."""

    mount: str
    limit: str
    used: str
    reclaimable: str


_VERSION_2 = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
_VERSION_1 = _Version(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)


def container_memory(root: Path = Path("/")) -> ContainerMemory | None:
    """The limit of the container that this process is in; None where there is none. `root`: where
    /proc and /sys are."""
    found = [
        memory
        for version, group in _groups(root)
        for folder in _upwards(root / version.mount, group)
        if (memory := _read(folder, version)) is not None
    ]
    return min(found, key=lambda memory: memory.free, default=None)


def _groups(root: Path) -> Iterator[tuple[_Version, str]]:
    """The memory groups of this process, by /proc/self/cgroup: lines NUMBER:CONTROLLERS:PATH, where
    version 2 has the number 0 and names no controllers."""
    place = root / "proc/self/cgroup"
    if not place.is_file():
        return
    for line in place.read_text().splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            yield _VERSION_2, group
        elif "memory" in controllers.split(","):
            yield _VERSION_1, group


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    """The folders of a group and of those that it lies in. Inside a container its path is often
    that of the machine, which is not to be seen there: then the mount alone is left."""
    path = PurePosixPath(group.lstrip("/"))
    inside = [path, *path.parents] if ".." not in path.parts else [PurePosixPath()]
    for part in inside:
        yield mount / part


def _read(folder: Path, version: _Version) -> ContainerMemory | None:
    """None where the group has no limit, or is not to be seen."""
    try:
        limit = (folder / version.limit).read_text().strip()
        used = int((folder / version.used).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if limit == "max" or int(limit) >= NO_LIMIT:
        return None
    statistics = dict(line.split() for line in lines)
    reclaimable = int(statistics.get(version.reclaimable, 0))
    taken = max(used - reclaimable, 0)
    return ContainerMemory(int(limit), max(int(limit) - taken, 0))
