"""A team: one leader and its helpers, each a process with a model of its own.

The leader names a piece of work, every process does its share of it, and all of them hear what came
of it in each. So nobody waits for one that failed: an error in any process ends the work in all of
them, and the helpers wait for what is asked next. A process that died is noticed by the others at
once (a connection breaks) and ends them, `TeamLostError` in the leader.

Objects go by gloo, tensors of gradients by nccl where they are on GPUs. The process groups are the
team's own and not torch's default one: a notebook may have several runs, and libraries that look
for a default group find none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from torch import Tensor

from workbench.distributed.tensors import as_bytes, from_bytes, in_buckets
from workbench.errors import WorkbenchError
from workbench.libraries.torch_ import PrefixStore, Store, gloo_group, nccl_group
from workbench.rollout import RolloutCancelledError

LEADER = 0
FOR_EVER = timedelta(days=365)
"""A helper waits for the next piece of work as long as a person pauses. Who waits for a dead
process hears of it from its connection, not from the clock."""
SUM_TIMEOUT = timedelta(seconds=60)
"""A sum on GPUs begins when every process is ready for it. Nccl's connections say nothing of a dead
process, so there it is the clock."""
SHORT, LONG = 0.0001, 0.005
"""Seconds between two looks at whether a message has come: more and more of them, since what has
not come at once may take long."""
LOOK_EVERY = 0.2
"""Seconds between two looks, from within a rollout, at what became of the others."""


class HelperError(WorkbenchError, RuntimeError):
    """Another process of the run failed; says which, and with what."""


class TeamLostError(WorkbenchError, RuntimeError):
    """A process of the run is gone; the others cannot go on without it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a piece of work in one process."""

    value: Any = None
    error: str | None = None
    broken_off: bool = False
    """Whether it was broken off because somebody asked for that, or because another one failed."""


class Team:
    """This process's place among `size` processes; the leader has rank 0.

    `who_died`: the leader's way to see that a helper is gone, in words.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        size: int,
        who_died: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.rank, self.size = rank, size
        self.lost = False
        self._who_died = who_died
        self._store = PrefixStore("words", store)
        self._objects = gloo_group(PrefixStore("objects", store), rank, size, FOR_EVER)
        self._gpu_store = PrefixStore("gpus", store)
        self._gpus: Any = None
        self._asked = 0
        self._looked_at = 0.0

    @property
    def leads(self) -> bool:
        """True in the process that has the record, the rewards and the last word."""
        return self.rank == LEADER

    # ------------------------------------------------------------------------------ messages

    def broadcast(self, value: Any = None) -> Any:
        """The leader's `value`, in every process. Raises `TeamLostError`."""
        data = as_bytes(value) if self.leads else torch.empty(0, dtype=torch.uint8)
        size = torch.tensor([len(data)])
        self._wait(self._objects.broadcast([size]))
        if not self.leads:
            data = torch.empty(int(size), dtype=torch.uint8)
        self._wait(self._objects.broadcast([data]))
        return value if self.leads else from_bytes(data)

    def gather(self, value: Any) -> list[Any]:
        """The `value` of every process, by rank, in every process. Raises `TeamLostError`."""
        data = as_bytes(value)
        size = torch.tensor([len(data)])
        sizes = [torch.empty_like(size) for _ in range(self.size)]
        self._wait(self._objects.allgather([sizes], [size]))
        longest = max(int(s) for s in sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(data)] = data
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        self._wait(self._objects.allgather([parts], [padded]))
        return [from_bytes(part[: int(s)]) for part, s in zip(parts, sizes, strict=True)]

    def spread(self, tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The leader's `tensors`, in every process, on the CPU; one after another, so that a large
        policy is there no more often than it must be. Raises `TeamLostError`."""
        kinds = self.broadcast({n: (t.shape, t.dtype) for n, t in (tensors or {}).items()})
        found = {}
        for name, (shape, dtype) in kinds.items():
            if tensors is not None and self.leads:
                found[name] = tensors[name].detach().cpu().contiguous()
            else:
                found[name] = torch.empty(shape, dtype=dtype)
            # As bytes: gloo knows few number formats.
            self._wait(self._objects.broadcast([found[name].view(-1).view(torch.uint8)]))
        return {} if self.leads else found

    def sum_(self, tensors: list[Tensor]) -> None:
        """Each tensor becomes the sum over all processes, bitwise the same in each of them. Raises
        `TeamLostError`."""
        for bucket in in_buckets(tensors):
            whole = torch.cat([tensor.flatten() for tensor in bucket])
            self._wait(self._group_for(whole).allreduce([whole]))
            parts = whole.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def _group_for(self, tensor: Tensor) -> Any:
        if tensor.device.type != "cuda":
            return self._objects
        if self._gpus is None:
            self._gpus = nccl_group(self._gpu_store, self.rank, self.size, SUM_TIMEOUT)
        return self._gpus

    def _wait(self, work: Any) -> None:
        """Wait for a message in short looks, between which a signal is heard and a death seen."""
        pause = SHORT
        try:
            while not work.is_completed():
                time.sleep(pause)
                pause = min(pause * 1.5, LONG)
            work.wait()
        except RuntimeError as error:
            self.lost = True
            raise TeamLostError(self._words_of_loss()) from error
        except BaseException:
            # Broken off between two halves of a message: nobody can tell any more which comes next.
            self.lost = True
            raise

    def _words_of_loss(self) -> str:
        # The connection breaks a little before the process is gone.
        for _ in range(20):
            if died := self._who_died():
                return f"{died} Go on from the last checkpoint."
            time.sleep(0.05)
        other = "a helper" if self.leads else "the leader"
        return f"the connection to {other} is lost. Go on from the last checkpoint."

    # ---------------------------------------------------------------------------------- work

    def ask(self, work: Any, name: str, given: dict[str, Any]) -> list[Any]:
        """Have `work.NAME(**given)` done in every process; the leader calls it. Returns what it
        gave in each. Raises what it raised here, `HelperError` for another process's error,
        `RolloutCancelledError` where it was broken off, `TeamLostError`."""
        if self.lost:
            raise TeamLostError("a process of this run is gone.")
        self.broadcast((name, given))
        return self._together(partial(getattr(work, name), **given))

    def serve(self, work: Any) -> None:
        """Do what the leader asks of `work`, until it asks no more. Raises `TeamLostError`."""
        while (asked := self.broadcast()) is not None:
            name, given = asked
            # The leader knows of the error, and decides what becomes of it.
            with suppress(Exception):
                self._together(partial(getattr(work, name), **given))
            if self.lost:
                raise TeamLostError(self._words_of_loss())

    def dismiss(self) -> None:
        """Tell the helpers that nothing more is asked of them."""
        if self.leads and not self.lost:
            self.broadcast(None)
            self.lost = True

    def _together(self, work: Callable[[], Any]) -> list[Any]:
        self._asked += 1
        own: BaseException | None = None
        try:
            outcome = Outcome(work())
        except TeamLostError:
            raise
        except BaseException as error:
            own = error
            outcome = _outcome_of(error)
            self.break_off()
        outcomes = self.gather(outcome)
        failed = [rank for rank, o in enumerate(outcomes) if o.error is not None]
        if own is not None and (self.rank in failed or not failed):
            raise own
        if failed:
            rank = failed[0]
            raise HelperError(f"process {rank + 1} of {self.size}: {outcomes[rank].error}") from own
        if any(o.broken_off for o in outcomes):
            raise RolloutCancelledError("the rollout was cancelled in another process")
        return [o.value for o in outcomes]

    def break_off(self) -> None:
        """Let the rollout in hand end in all processes (from any thread): nothing of it is kept."""
        self._store.set(f"broken off {self._asked}", "1")

    def broken_off(self) -> bool:
        """Whether the piece of work in hand is for nothing: a process failed, died, or was told to
        stop. Cheap enough to be asked before every token."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at = now
        return bool(self._store.check([f"broken off {self._asked}"])) or bool(self._who_died())


def _outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, RolloutCancelledError):
        return Outcome(broken_off=True)
    return Outcome(error=f"{type(error).__name__}: {error}")
