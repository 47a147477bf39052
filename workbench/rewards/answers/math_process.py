"""Asks math-verify from any thread, with a limit on computing time that holds: see `math_worker`
for why that takes a process."""

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
from workbench.rewards.answers.spelling import unified, without_box, without_emphasis
from workbench.rewards.answers.towers import piles_up
from workbench.rewards.answers.units import agree, is_measure, unit_of

TIME_LIMIT = 3.0
"""Seconds of the worker's own computing for one question, whatever else the machine does. An
ordinary comparison takes about 0.005 s."""

GOLD_TIME_LIMIT = 15.0
"""Seconds of computing for the second try at a gold answer: without it there is no run."""

_DELIMITERS = re.compile(r"\\[()\[\]]|\\?\$|\s+")
_SYMBOLS = (
    (re.compile(r"\\(?:mathrm|mathit|text|operatorname)\{ ?(\\?[A-Za-z]+) ?\}"), r" \1 "),
    (re.compile(r"π|(?<![A-Za-z\\])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"∞|(?<![A-Za-z\\])infinity(?![A-Za-z])"), r"\\infty "),
    (re.compile(r"(?:√|(?<![A-Za-z\\])sqrt) ?\(([^()]{1,60})\)"), r"\\sqrt{\1}"),
    (re.compile(r"√ ?([0-9]+|[a-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\cfrac"), r"\\frac"),
    (re.compile(r"\*\*"), "^"),
)
_UNIT_AT_END = re.compile(
    r"(.*\S) ?(?:\\(?:text|mathrm|textrm|mbox)\{ ?([A-Za-z/. ]{2,40}?) ?\}| ([A-Za-z/]{2,20}))"
    r"( ?\^ ?\{? ?[23] ?\}?)?"
)


class MathProcessError(WorkbenchError, RuntimeError):
    """math-verify could not be started."""


class UndecidedError(WorkbenchError, RuntimeError):
    """math-verify ran out of time or memory: whether the two are equal is not known."""


class MathProcess:
    """One worker process, started when first needed and again after it ran out of time. Safe to use
    from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[str] | None = None
        self._owner = os.getpid()

    def equal(self, given: str, gold: str, seconds: float) -> bool:
        """Whether the two are equal; False when one cannot be read. Raises `UndecidedError` when
        `seconds` of computing were not enough."""
        request = json.dumps([given, gold, seconds])
        # Answers bear no number: they belong to questions by their order, one at a time.
        with self._lock:
            try:
                worker = self._started()
                print(request, file=worker.stdin, flush=True)
                reply = self._reply()
            # An interrupt included: the answer to this question would be taken for that to the
            # next.
            except BaseException:
                self._stop()
                raise
        if not isinstance(reply, bool):
            raise UndecidedError(
                f"math-verify could not compare {given!r:.200} with {gold!r:.200} in {seconds:g} "
                "seconds of computing and its 4 GiB of memory."
            )
        return reply

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
    """Whether math-verify can read `gold` and finds it equal to itself. A gold that ran out of time
    is tried once more, with more of it. Raises `MathProcessError`, `UndecidedError`."""
    formula, _ = _formula_and_unit(gold)
    try:
        return _PROCESS.equal(formula, formula, TIME_LIMIT)
    except UndecidedError:
        return _PROCESS.equal(formula, formula, GOLD_TIME_LIMIT)


def equal(given: str, gold: str) -> bool:
    """Whether the two LaTeX expressions are equal, and their units where both have one. Raises
    `MathProcessError`, and `UndecidedError` after `TIME_LIMIT`.

    One that multiplies itself beyond bounds, as the gold does not (`9^{9^{9^9}}`), is wrong without
    a try: no policy may escape a wrong answer's reward by writing what cannot be worked out.
    """
    if piles_up(given, gold):
        return False
    answer, answer_unit = _formula_and_unit(given)
    expected, unit = _formula_and_unit(gold)
    # math-verify drops units.
    return agree(answer_unit, unit) and _PROCESS.equal(answer, expected, TIME_LIMIT)


def _formula_and_unit(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` as one formula, without its own mathematics delimiters, and the unit at its end."""
    text = without_box(without_emphasis(unified(text).strip().rstrip(".")))
    text = _DELIMITERS.sub(" ", text).strip()
    match = _UNIT_AT_END.fullmatch(text)
    unit: tuple[str, ...] = ()
    if match is not None and all(map(is_measure, re.findall("[A-Za-z]+", match[2] or match[3]))):
        unit = unit_of(f"{match[2] or match[3]} {match[4] or ''}")
        text = match[1]
    for pattern, replacement in _SYMBOLS:
        text = pattern.sub(replacement, text)
    # The grammar of fractions takes no space inside the braces.
    return re.sub(r"(?<=\{) | (?=\})", "", " ".join(text.split())), unit
