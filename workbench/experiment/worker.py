"""A process that makes runs of an experiment, one after another, as its parent names them.

Each line that it reads is a JSON list [variant, seed]; each line that it answers is `MARK` and a
JSON object: {"outcome": "finished"}, "stopped", or "failed" with "words". The end of its input
asks it to stop after the step in hand, with a checkpoint. So a parent that was killed leaves nobody
behind who trains on, and Ctrl-C in a terminal, which only the parent gets, ends all of them
cleanly.

Why not `concurrent.futures` or joblib: their workers import the caller's main file again (a script
without a guard, a notebook), and need a signal of their own for a stop at the end of a step.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from workbench.experiment.variants import ExperimentError

MARK = "workbench "
"""Begins an answer: whatever else reaches standard output before `main` has it is passed over."""
START = """import json, sys
sys.path += [path for path in json.loads(sys.argv[2]) if path not in sys.path]
from workbench.experiment.worker import main
main(sys.argv[1])"""
"""What a worker runs. The places that its parent imports from (a notebook may have added its own)
come last: a file re.py beside a script must not stand in for Python's own."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
LAST_WORDS = 400
"""Characters of a dead worker's log that are quoted."""


class Worker:
    """The parent's end: a process, started at once."""

    def __init__(self, out: Path, log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", START, str(out), json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env=os.environ | ONE_THREAD,
                # A terminal sends Ctrl-C to a whole group: the parent alone is to get it.
                start_new_session=True,
            )
        # Two pipes were asked for.
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._asks: IO[str] = self.process.stdin
        self._answers: IO[str] = self.process.stdout

    def make(self, variant: str, seed: int) -> bool:
        """Have a run made; whether it came to its end. Raises `ExperimentError` with what the run
        raised, and where the process died."""
        try:
            self._asks.write(json.dumps([variant, seed]) + "\n")
            self._asks.flush()
            line = self._answers.readline()
            while line and not line.startswith(MARK):
                line = self._answers.readline()
        except (OSError, ValueError):  # closed by a stop, or by its death
            line = ""
        if not line:
            return self._ended()
        answer = json.loads(line.removeprefix(MARK))
        if answer["outcome"] == "failed":
            raise ExperimentError(answer["words"])
        return bool(answer["outcome"] == "finished")

    def _ended(self) -> bool:
        """The process is gone without an answer: because it was asked to stop before it began, or
        it died."""
        code = self.process.wait()
        if code == 0:
            return False
        said = self.log.read_text(encoding="utf-8", errors="replace").strip()[-LAST_WORDS:]
        raise ExperimentError(
            f"its process died (exit code {code}; -9 is the system's, for want of memory). Its log "
            f"{str(self.log)!r} ends: {said or 'without a word'}"
        )

    @property
    def is_alive(self) -> bool:
        """Whether it can make another run."""
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Let it stop after the step in hand."""
        if not self._asks.closed:
            self._asks.close()

    def close(self) -> None:
        """Wait for its end."""
        self.ask_to_stop()
        self.process.wait()
        self._answers.close()

    def kill(self) -> None:
        """End it at once; its run goes on from its last checkpoint another time."""
        self.process.kill()


def main(folder: str) -> None:
    """The process itself."""
    # The parent reads what was standard output; what reward functions print goes to the log.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_read, args=(asked, stop), daemon=True).start()

    import torch

    from workbench.experiment.store import read_experiment
    from workbench.experiment.variants import run_folder

    torch.set_num_threads(1)
    out = Path(folder)
    variants = {variant.name: variant for variant in read_experiment(out).variants}
    while (line := asked.get()) is not None:
        name, seed = json.loads(line)
        variant = variants[name]
        answer = _answer(variant, seed, run_folder(out, variant, seed), stop)
        answers.write(MARK + json.dumps(answer) + "\n")
        answers.flush()


def _read(asked: queue.SimpleQueue[str | None], stop: threading.Event) -> None:
    """Hand on the parent's lines, and at their end the wish to stop."""
    for line in sys.stdin:
        asked.put(line)
    stop.set()
    asked.put(None)


def _answer(variant: Any, seed: int, folder: Path, stop: threading.Event) -> dict[str, str]:
    import traceback

    from workbench.experiment.making import make_run

    try:
        finished = make_run(variant, seed, folder, stop.is_set)
    except Exception as error:
        # The whole of it for the log, the words for whoever looks at the experiment.
        traceback.print_exc()
        return {"outcome": "failed", "words": words_of(error)}
    return {"outcome": "finished" if finished else "stopped"}


def words_of(error: BaseException) -> str:
    """An error and its notes in a line."""
    notes = " ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error} {notes}".strip()
