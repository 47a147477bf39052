"""What a record costs as it grows: to write, to open, to show, and on the disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_runs import growing_run

from workbench.runs import Run, RunWriter, StepRecord
from workbench.widgets.base.source import RunSource
from workbench.widgets.pages import PAGES, Links
from yardstick.fit import exponent
from yardstick.meter import memory_now

GROUP = 10
LINKS = Links(
    show_step=lambda step: None,
    show_tokens=lambda row: None,
    show_completion=lambda step, row: None,
)


def grown(sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """The figures of records of (steps, completions a step)."""
    return [measure(steps, completions) for steps, completions in sizes]


def exponents(points: list[dict[str, Any]], size: str) -> dict[str, float]:
    """How each figure grows with steps or completions."""
    sizes = [p[size] for p in points]
    figures = [k for k in points[0] if k not in ("steps", "completions", "slowest page")]
    # Below these nothing is told from nothing.
    floor = {"growth MB": 1.0}
    return {
        key: exponent(sizes, [max(p[key], floor.get(key, 1e-6)) for p in points]) for key in figures
    }


def measure(steps: int, completions: int) -> dict[str, Any]:
    """Write such a record, open it as a reader does, and show every page of it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "run")
        found = write(folder, steps, completions)
        found |= {"record MB": (folder / "run.sqlite").stat().st_size / 1024**2}
        with timed(found, "open ms"):
            run = Run.open(folder)
            run.steps()
        pages = {name: show(name, run, steps) for name in PAGES}
    slowest = max(pages, key=lambda name: pages[name])
    return {
        "steps": steps,
        "completions": completions,
        **found,
        "slowest page ms": pages[slowest],
        "slowest page": slowest,
    }


def write(folder: Path, steps: int, completions: int) -> dict[str, Any]:
    """Milliseconds of a step's record, and by how much the process grew from the tenth part of
    the run to its end."""
    growing = growing_run(
        folder, steps=steps, prompts=completions // GROUP, group=GROUP, status="finished"
    )
    # One step again and again: making each anew would take longer than writing it.
    record = growing.how.step(1)
    writer = growing.writer
    early = max(steps // 10, 1)
    found: dict[str, Any] = {}
    write_up_to(early, writer, record)
    before = memory_now("cpu")
    began = time.process_time()
    write_up_to(steps, writer, record)
    found["write ms a step"] = 1000 * (time.process_time() - began) / max(steps - early, 1)
    found["growth MB"] = memory_now("cpu") - before
    growing.end()
    return found


def write_up_to(steps: int, writer: RunWriter, record: StepRecord) -> None:
    """The same step under the next numbers."""
    for number in range(writer.last_step + 1, steps + 1):
        writer.write_step(replace(record, step=number))


def show(name: str, run: Run, steps: int) -> float:
    """CPU milliseconds of a page in the middle of the run, after it was made and shown once."""
    page = PAGES[name](LINKS)
    sources = [RunSource(run)]
    page.show(sources, steps)
    found: dict[str, float] = {}
    with timed(found, "ms"):
        page.show(sources, max(steps // 2, 1))
    return found["ms"]


@contextmanager
def timed(
    found: dict[str, Any], name: str, now: Callable[[], float] = time.process_time
) -> Iterator[None]:
    """Put the CPU milliseconds of what is inside into `found`."""
    began = now()
    yield
    found[name] = 1000 * (now() - began)
