"""Making the runs of an experiment: a thread for each run at once, which has it made in this
process or in a worker of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.experiment.progress import Progress, seconds_left
from workbench.experiment.store import is_done, steps_made
from workbench.experiment.variants import ExperimentError, Variant, run_folder
from workbench.experiment.worker import Worker, words_of

Job = tuple[Variant, int]
"""A variant and a seed."""


class Runner:
    """Makes what is missing of `jobs`, in the background; one sitting."""

    def __init__(self, out: Path, jobs: Sequence[Job], tell: Callable[[], None]) -> None:
        self.out = out
        self.jobs = list(jobs)
        self.tell = tell
        """Called after each change, from any thread."""
        self.failed: dict[str, str] = {}
        """Folder of a run -> what it raised."""
        self.ended = threading.Event()
        """Set once nothing is made any more; before the first start, too."""
        self.ended.set()
        self.at_once = ""
        self._make_run: Callable[..., bool] = _not_started
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._workers: list[Worker] = []
        self._began = time.monotonic()
        self._steps_at_start = 0
        self._finished: dict[Path, int] = {}
        """Steps of the runs that are known to be finished: their records are not read again."""

    def folder(self, job: Job) -> Path:
        return run_folder(self.out, *job)

    def missing(self, anew: bool = False) -> list[Job]:
        """The jobs that are not finished, seed by seed, so that an experiment that is broken off
        has whole pairs."""
        if anew:
            self._finished.clear()
        left = [job for job in self.jobs if not self._is_done(job)]
        return sorted(left, key=lambda job: job[1])

    def start(self, missing: Sequence[Job], processes: int, at_once: str) -> None:
        """Begin; returns at once."""
        # Here and not in the threads: two that import torch and what needs it at the same time
        # find each other's modules half made. Not at the top: a stored result needs none of it.
        from workbench.experiment.making import make_run

        self._make_run = make_run
        self.at_once = at_once
        self.failed = {}
        self._stop.clear()
        self._waiting = list(missing)
        self._began = time.monotonic()
        self._steps_at_start = self._steps_done()
        self.ended.clear()
        makers = [
            threading.Thread(target=self._make, args=(processes > 1,), daemon=True)
            for _ in range(processes)
        ]
        threading.Thread(target=self._watch, args=(makers,), daemon=True).start()

    def _watch(self, makers: Sequence[threading.Thread]) -> None:
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
        self.ended.set()
        self.tell()

    def _make(self, in_a_worker: bool) -> None:
        """Take one job after another, until there is none or a stop was asked for."""
        worker: Worker | None = None
        while (job := self._next()) is not None:
            try:
                if not in_a_worker:
                    self._make_run(*job, self.folder(job), self._stop.is_set)
                else:
                    if worker is None or not worker.is_alive:
                        worker = self._new_worker()
                    worker.make(job[0].name, job[1])
            except ExperimentError as error:
                self.failed[self.folder(job).name] = str(error)
            except Exception as error:
                # Whatever a run raises ends that run alone; it is said when all are made.
                self.failed[self.folder(job).name] = words_of(error)
            with self._lock:
                self._running.remove(job)
            self.tell()
        if worker is not None:
            worker.close()

    def _next(self) -> Job | None:
        with self._lock:
            if self._stop.is_set() or not self._waiting:
                return None
            job = self._waiting.pop(0)
            self._running.append(job)
        self.tell()
        return job

    def _new_worker(self) -> Worker:
        with self._lock:
            worker = Worker(self.out, self.out / "logs" / f"worker{len(self._workers)}.txt")
            self._workers.append(worker)
        if self._stop.is_set():  # asked for while it was made
            worker.ask_to_stop()
        return worker

    def stop(self) -> None:
        """Ask all to stop after the step that they are in; returns at once."""
        self._stop.set()
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.ask_to_stop()
        self.tell()

    def kill(self) -> None:
        """End the workers at once. What runs in this process still ends its step."""
        self._stop.set()
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.kill()

    # ------------------------------------------------------------ how far it is

    @property
    def status(self) -> str:
        """As `Progress.status`."""
        if not self.ended.is_set():
            return "stopping" if self._stop.is_set() else "running"
        if self.failed:
            return "failed"
        if not self.missing():
            return "finished"
        return "stopped" if self._stop.is_set() else "ready"

    def progress(self) -> Progress:
        """The state of now; reads the records of the runs."""
        status = self.status
        with self._lock:
            running = list(self._running)
        steps = sum(variant.config.max_steps for variant, _ in self.jobs)
        steps_done = self._steps_done()
        return Progress(
            status=status,
            runs=len(self.jobs),
            done=len(self.jobs) - len(self.missing()),
            failed=len(self.failed),
            running=tuple(self.folder(job).name for job in running),
            steps=steps,
            steps_done=steps_done,
            seconds_left=seconds_left(
                steps - steps_done,
                steps_done - self._steps_at_start,
                time.monotonic() - self._began,
            ),
            at_once=self.at_once,
        )

    def _steps_done(self) -> int:
        return sum(
            self._finished[folder] if folder in self._finished else steps_made(folder)
            for folder in map(self.folder, self.jobs)
        )

    def _is_done(self, job: Job) -> bool:
        folder = self.folder(job)
        if folder not in self._finished and is_done(folder):
            self._finished[folder] = steps_made(folder)
        return folder in self._finished


def _not_started(*_: object) -> bool:
    raise RuntimeError("the runner was not started.")
