"""A container's limit counts, whatever the machine has: both versions of cgroups, as Docker,
Kubernetes and a plain machine show them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.commands import doctor
from workbench.plan import devices, rates
from workbench.policy import container_memory as memory
from workbench.policy import free_memory

GB = 10**9
Files = dict[str, str | int]


def make_root(folder: Path, cgroup: str, files: Files) -> Path:
    """/proc/self/cgroup and the files below /sys/fs/cgroup."""
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")
    return folder


def version_2(at: str, limit: object, used: int, inactive: int = 0) -> Files:
    folder = Path("sys/fs/cgroup") / at
    return {
        str(folder / "memory.max"): str(limit),
        str(folder / "memory.current"): used,
        str(folder / "memory.stat"): f"anon 1\ninactive_file {inactive}",
    }


def version_1(at: str, limit: object, used: int, inactive: int = 0) -> Files:
    folder = Path("sys/fs/cgroup/memory") / at
    return {
        str(folder / "memory.limit_in_bytes"): str(limit),
        str(folder / "memory.usage_in_bytes"): used,
        str(folder / "memory.stat"): f"inactive_file 7\ntotal_inactive_file {inactive}",
    }


UNLIMITED = 9223372036854771712
ROOM = memory.ContainerMemory(8 * GB, 5 * GB)
CASES = {
    "version 2, the group is the root": (
        "0::/",
        version_2("", 8 * GB, 4 * GB, GB),
        ROOM,
    ),
    "version 2, a group of Slurm": (
        "0::/system.slice/job_7",
        version_2("system.slice/job_7", 8 * GB, 3 * GB) | version_2("system.slice", "max", GB),
        ROOM,
    ),
    "version 2, a group above is tighter": (
        "0::/pod/box",
        version_2("pod/box", "max", GB) | version_2("pod", 8 * GB, 3 * GB),
        ROOM,
    ),
    "version 2, the machine's path is not to be seen": (
        "0::/kubepods/pod7/box",
        version_2("", 8 * GB, 3 * GB),
        ROOM,
    ),
    "version 2, a path that leads out": ("0::/../box", version_2("", 8 * GB, 3 * GB), ROOM),
    "version 1": (
        "9:name=systemd:/\n4:cpu,memory:/docker/7\n0::/",
        version_1("docker/7", 8 * GB, 4 * GB, GB) | version_1("", UNLIMITED, 20 * GB),
        ROOM,
    ),
    "version 1, the machine's path is not to be seen": (
        "4:memory:/docker/7",
        version_1("", 8 * GB, 3 * GB),
        ROOM,
    ),
    "full": (
        "0::/",
        version_2("", 8 * GB, 9 * GB),
        memory.ContainerMemory(8 * GB, 0),
    ),
    "version 2 without a limit": ("0::/", version_2("", "max", GB), None),
    "version 1 without a limit": ("4:memory:/", version_1("", UNLIMITED, GB), None),
    "a version 2 without the controller of memory": ("0::/user.slice", {}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_tightest_limit_above_the_process(case: str, tmp_path: Path) -> None:
    cgroup, files, wanted = CASES[case]
    assert memory.container_memory(make_root(tmp_path, cgroup, files)) == wanted


def test_where_there_are_no_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory.container_memory(tmp_path) is None


def test_plan_and_doctor_go_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    small = memory.ContainerMemory(2 * 10**6, 10**6)
    for module in (free_memory, memory):
        monkeypatch.setattr(module, "container_memory", lambda: small)
    monkeypatch.setattr(rates, "measure", lambda kind: rates.Rates(1e9, {}, "made up"))
    assert free_memory.available_bytes(torch.device("cpu")) == 10**6
    assert devices.device_named("cpu").memory == 10**6
    said = doctor._memory()
    assert said.status == "note"
    assert said.detail == "0.0 GB free; the container's limit is 0.0 GB"
