"""Asks math-verify from any thread, with a limit on time that holds: see `math_worker` for why that
takes a process."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

TIME_LIMIT = 3.0
"""Seconds for one question. An ordinary comparison takes about 0.1 s the first time, 0.005 s
later."""

_DELIMITERS = re.compile(r"\\[()\[\]]|\\?\$|\s+")


class MathProcessError(WorkbenchError, RuntimeError):
    """math-verify could not be started."""


class MathProcess:
    """One worker process, started when first needed and again after it ran out of time. Safe to use
    from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[str] | None = None
        self._owner = os.getpid()

    def equal(self, given: str, gold: str, seconds: float) -> bool:
        """Whether the two are equal; False when one cannot be read, or when `seconds` were not
        enough."""
        request = json.dumps([_one_formula(given), _one_formula(gold), seconds])
        # Answers bear no number: they belong to questions by their order, one at a time.
        with self._lock:
            try:
                worker = self._started()
                print(request, file=worker.stdin, flush=True)
                return self._reply() is True
            # An interrupt included: the answer to this question would be taken for that to the
            # next.
            except BaseException:
                self._stop()
                raise

    def close(self) -> None:
        """End the worker process, unless it belongs to the process that this one was forked
        from."""
        if self._owner == os.getpid():
            self._stop()

    def _started(self) -> subprocess.Popen[str]:
        if self._owner != os.getpid():  # forked: the pipes belong to the parent
            self._owner = os.getpid()
            self._worker = None
        if self._worker is None or self._worker.poll() is not None:
            script = str(Path(__file__).with_name("math_worker.py"))
            # -P keeps the folder of the script out of the import path. Complaints go nowhere,
            # because a pipe that nobody reads would fill up and block the worker.
            self._worker = subprocess.Popen(
                [sys.executable, "-P", script],
                text=True,
                encoding="utf-8",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._check_start()
        return self._worker

    def _check_start(self) -> None:
        # The worker's first line says what is wrong with the installation, or null.
        problem = self._reply()
        if problem is not None or self._worker is None:
            self._stop()
            raise MathProcessError(
                "math-verify, which compares answers that are expressions, did not start "
                f"({problem}). Run: pip install 'math-verify>=0.8'"
            )

    def _reply(self) -> Any:
        """The worker's next answer. When it died instead, "died", and the next question starts a
        new one."""
        line = self._worker.stdout.readline() if self._worker and self._worker.stdout else ""
        # A line without an end was cut short by the worker's death.
        if line.endswith("\n"):
            return json.loads(line)
        self._stop()
        return "died"

    def _stop(self) -> None:
        worker = self._worker
        self._worker = None
        if worker is not None:
            worker.kill()
            # Closes the pipes and collects the dead process, which would otherwise stay listed.
            worker.communicate()


_PROCESS = MathProcess()
atexit.register(_PROCESS.close)


def readable(gold: str) -> bool:
    """Whether math-verify can read `gold` and finds it equal to itself. Raises
    `MathProcessError`."""
    return equal(gold, gold)


def equal(given: str, gold: str) -> bool:
    """Whether math-verify finds the two LaTeX expressions equal within `TIME_LIMIT`. Raises
    `MathProcessError`."""
    return _PROCESS.equal(given, gold, TIME_LIMIT)


def _one_formula(text: str) -> str:
    """`text` without its own mathematics delimiters, so that it is read as one formula."""
    return _DELIMITERS.sub(" ", text).strip()
