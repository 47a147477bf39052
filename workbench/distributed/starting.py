"""The processes of a team: started by the leader on this machine, or by torchrun.

A helper is a fresh interpreter and never a fork: a process that has threads, or a GPU in use,
cannot be forked. It ends when its leader does, however that ends.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import torch

from workbench.config import ConfigError
from workbench.distributed.team import Team, TeamLostError
from workbench.distributed.torchrun import torchrun_rank, torchrun_size, torchrun_store
from workbench.libraries.torch_ import FileStore

START = """import json, sys
paths, module, store, *numbers = sys.argv[1:]
sys.path += [path for path in json.loads(paths) if path not in sys.path]
from importlib import import_module
import_module(module).main(store, *map(int, numbers))"""
"""What a helper runs. The places that its leader imports from (a notebook may have added its own)
come last."""
LAST_WORDS = 600
"""Characters of a dead helper's log that are quoted."""
LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""The network of the machine with itself, by system: what a team says leaves the machine nowhere,
and a host name that resolves to nothing does no harm."""


class Helpers:
    """The helper processes that a leader has started, and the folder where they meet."""

    def __init__(self, module: str, size: int) -> None:
        """module: its function `main(folder, rank, size, leader)` is what a helper does."""
        self.size = size
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-team-"))
        self._set_loopback()
        self.processes = [self._start(module, rank) for rank in range(1, size)]
        self.close = weakref.finalize(self, _end, self.processes, self.folder)

    def _start(self, module: str, rank: int) -> subprocess.Popen[bytes]:
        arguments = [self.folder / "store", rank, self.size, os.getpid()]
        with self._log(rank).open("wb") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", START, json.dumps(sys.path), module),
                    *map(str, arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | _own_gpu(rank),
                # A terminal sends Ctrl-C to a whole group: the leader alone is to get it.
                start_new_session=True,
            )

    def _log(self, rank: int) -> Path:
        return self.folder / f"process-{rank + 1}.log"

    def _set_loopback(self) -> None:
        if name := LOOPBACK.get(sys.platform):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)

    def who_died(self) -> str | None:
        """The first helper that is gone, with its last words; None while all are there."""
        for rank, process in enumerate(self.processes, 1):
            if (code := process.poll()) is not None:
                said = ""
                if self._log(rank).is_file():
                    said = self._log(rank).read_text(encoding="utf-8", errors="replace").strip()
                return (
                    f"process {rank + 1} of {self.size} is gone (exit code {code}; -9 is the "
                    "system's, for want of memory). Its log ends: "
                    f"{said[-LAST_WORDS:] or 'without a word'}"
                )
        return None

    def meet(self) -> Team:
        """The leader's team, once every helper is there. Raises `TeamLostError` where one died
        before."""
        store = FileStore(str(self.folder / "store"), self.size)
        while not store.check([_here(rank) for rank in range(1, self.size)]):
            if died := self.who_died():
                raise TeamLostError(died)
            time.sleep(0.05)
        return Team(store, 0, self.size, self.who_died)


def _here(rank: int) -> str:
    return f"process {rank} is here"


def _end(processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """A helper holds nothing that the leader does not have too, so it may be ended at any time."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _own_gpu(rank: int) -> dict[str, str]:
    """A helper sees one GPU, the one of its rank among those that the leader sees."""
    if not torch.cuda.is_available():
        return {}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = seen.split(",") if seen else [str(i) for i in range(torch.cuda.device_count())]
    return {"CUDA_VISIBLE_DEVICES": names[rank]} if rank < len(names) else {}


def start_team(module: str, size: int, device: torch.device) -> tuple[Team, Callable[[], object]]:
    """The leader's team of `size` processes, and a function that ends the others: those that
    torchrun has started where it did, else fresh ones that run `module.main`. `device`: what the
    leader computes on. Raises `ConfigError` and `TeamLostError`."""
    check_devices(size, device)
    if torchrun_size() > 1:
        team = Team(torchrun_store(), 0, size)
        # They would wait for more, and torchrun for them.
        atexit.register(team.dismiss)
        return team, team.dismiss
    helpers = Helpers(module, size)
    try:
        return helpers.meet(), helpers.close
    except BaseException:
        helpers.close()
        raise


def check_devices(size: int, device: torch.device) -> None:
    """Raises `ConfigError` where the processes would have to share a GPU."""
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type != "cpu" and there < size:
        raise ConfigError(
            f"processes={size}, but there are {there} GPUs, and two processes on one GPU only "
            f"take turns. Use processes={there}, or WORKBENCH_DEVICE=cpu."
        )


def join_team(store: str, rank: int, size: int, leader: int) -> Team:
    """A helper's team; ends this process when its `leader` is gone."""
    _end_with(leader, Path(store).parent)
    found = FileStore(store, size)
    found.set(_here(rank), "1")
    return Team(found, rank, size)


def _end_with(parent: int, folder: Path | None = None) -> None:
    """End this process when its parent is gone, also while it computes and looks at no connection
    for long; and delete the folder, which the parent could not."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def join_torchrun() -> Team:
    """A helper's team among the processes of torchrun, on the GPU of its rank."""
    # Torchrun hands signals on to all; what they mean is the leader's to say.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _end_with(os.getppid())
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return Team(torchrun_store(), torchrun_rank(), torchrun_size())
