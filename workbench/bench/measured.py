"""What was measured here: the results of `workbench eval --json`, and the evaluations in run
records."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.bench.published import BenchError
from workbench.runs import Run, RunRecordError, RunWarning, is_run_record

FIGURES = ("greedy", "mean", "maj", "pass")
"""The figures of a result that are shown, those with samples for all samples alone."""

SHOWN_PACKAGES = ("grpo-workbench", "torch", "transformers", "vllm")

LARGEST = 64 * 2**20
"""Bytes of a file that may be a result; a larger one in a folder is something else."""

_RESULT = ("policy", "task", "n", "greedy")
"""The keys by which a result of `workbench eval --json` is known."""


@dataclass(frozen=True)
class Measured:
    """One figure that was measured with the workbench."""

    task: str
    policy: str

    figure: str
    """greedy, mean@K, maj@K or pass@K; strict: the whole completion has the form."""

    value: float
    """Percent of the problems."""

    low: float
    high: float
    """The 95 % interval, in percent."""

    n: int
    """Problems."""

    date: str
    """YYYY-MM-DD (UTC); empty where the file does not say it."""

    machine: str
    """GPU or CPU; empty where the file does not say it."""

    versions: str
    """Packages with their versions; empty where the file does not say them."""

    file: str
    """Where it was read."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def read_measured(places: Iterable[str | Path]) -> tuple[list[Measured], list[str]]:
    """The figures in files and folders, and what could not be read, a sentence each.

    A file is a result of `workbench eval --json` (one JSON object a line) or a run record; of a
    folder all such below it are taken, and what is something else is passed over. Raises
    `BenchError` for a file that is neither, and for a place that is not there.
    """
    found: list[Measured] = []
    problems: list[str] = []
    for place in map(Path, places):
        if place.is_dir():
            files: Iterable[Path] = _below(place)
        elif place.is_file():
            files = [place]
            if not is_run_record(place) and not list(_results(place)):
                raise BenchError(
                    f"{str(place)!r} is neither a result of `workbench eval --json` nor a run "
                    "record."
                )
        else:
            raise BenchError(f"{str(place)!r} is not there. Name a file or a folder of results.")
        for file in files:
            try:
                found += _of_run(file) if is_run_record(file) else _of_results(file)
            except RunRecordError as error:
                problems.append(str(error))
    return sorted(found, key=lambda row: (row.task, row.policy, row.date)), problems


def _below(folder: Path) -> Iterator[Path]:
    for pattern in ("*.sqlite", "*.json", "*.jsonl"):
        for file in sorted(folder.rglob(pattern)):
            if file.is_file() and (pattern == "*.sqlite" or file.stat().st_size <= LARGEST):
                yield file


# -------------------------------------------------------------- results of `workbench eval --json`


def _results(file: Path) -> Iterator[Mapping[str, Any]]:
    """The objects in a file that are results; nothing where it holds something else."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    # A result is one line; whoever wrote it anew may have spread it over several.
    for part in [text] if text.lstrip().startswith("{\n") else text.splitlines():
        try:
            value = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and all(key in value for key in _RESULT):
            yield value


def _of_results(file: Path) -> list[Measured]:
    return [row for result in _results(file) for row in _rows(result, file)]


def _rows(result: Mapping[str, Any], file: Path) -> Iterator[Measured]:
    environment = result.get("environment")
    where = environment if isinstance(environment, dict) else {}
    samples = result.get("samples") or 0
    for figure in FIGURES:
        name = figure if figure == "greedy" else f"{figure}@{samples}"
        estimate = result.get(name)
        numbers = _numbers(estimate)
        if numbers is None:
            continue
        value, low, high, n = numbers
        yield Measured(
            task=str(result["task"]),
            policy=str(result["policy"]),
            figure=name,
            value=100 * value,
            low=100 * low,
            high=100 * high,
            n=n,
            date=str(result.get("date", ""))[:10],
            machine=machine_of(where),
            versions=versions_of(where),
            file=str(file),
        )


def _numbers(estimate: Any) -> tuple[float, float, float, int] | None:
    """Value, interval and n of an estimate as `workbench eval` prints it; None for anything else,
    and where nothing is known."""
    if not isinstance(estimate, dict):
        return None
    interval = estimate.get("interval")
    if not isinstance(interval, list) or len(interval) != 2:
        return None
    numbers = [estimate.get("value"), *interval, estimate.get("n")]
    if any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in numbers):
        return None
    value, low, high, n = numbers
    return float(value), float(low), float(high), int(n)


# ------------------------------------------------------------------------------------ run records


def _of_run(file: Path) -> list[Measured]:
    """The last evaluation of a run, and the one before its first step."""
    run = Run.open(file)
    with warnings.catch_warnings():
        # What is damaged is left out of the frame, and `workbench doctor RUN` says it.
        warnings.simplefilter("ignore", RunWarning)
        evaluations = run.evaluations()
    evaluations = evaluations[evaluations["split"] == "held_out"]
    if evaluations.empty:
        return []
    place = file.parent if file.name == "run.sqlite" else file
    meta = run.meta
    ends = [evaluations.iloc[0], evaluations.iloc[-1]] if len(evaluations) > 1 else []
    return [
        Measured(
            task=meta.task,
            policy=f"{meta.policy}, step {int(row.step)} of {place.name}",
            figure="greedy",
            value=100 * float(row.accuracy),
            low=100 * float(row.low),
            high=100 * float(row.high),
            n=int(row.n),
            date=datetime.fromtimestamp(float(row.time), UTC).strftime("%Y-%m-%d"),
            machine=machine_of(meta.environment),
            versions=versions_of(meta.environment),
            file=str(file),
        )
        for row in ends or [evaluations.iloc[0]]
        if not math.isnan(float(row.accuracy))
    ]


def machine_of(environment: Mapping[str, Any]) -> str:
    """The GPUs of `describe_environment`, else the CPU."""
    gpus = environment.get("gpus")
    if gpus:
        return ", ".join(dict.fromkeys(map(str, gpus)))
    cpu = str(environment.get("cpu") or "")
    cores = environment.get("cpu_count")
    return f"{cpu}, {cores} cores" if cpu and cores else cpu


def versions_of(environment: Mapping[str, Any]) -> str:
    """The packages of `describe_environment` that a score may depend on."""
    packages = environment.get("packages")
    if not isinstance(packages, dict):
        return ""
    return ", ".join(f"{name} {packages[name]}" for name in SHOWN_PACKAGES if name in packages)
