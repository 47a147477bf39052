"""What a training step costs as one thing grows and the others stay."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from yardstick.cases import OURS, SMOKE_CASES, Case, Shape
from yardstick.children import ask
from yardstick.fit import exponent

PROMPTS, GROUP, PROMPT, LENGTH = 2, 8, 64, 64
WARM_UP, STEPS = 1, 3
MODELS = ("1M", "3M", "12M")


def case_of(
    model: str = "3M", group: int = GROUP, prompt: int = PROMPT, length: int = LENGTH
) -> Case:
    """A case with fixed lengths, sixteen completions where the group is not what grows."""
    return Case(model, "full", Shape("grown", PROMPTS, group, (prompt, prompt), length))


AXES: dict[str, list[tuple[int, Case]]] = {
    "G, completions of a prompt": [(n, case_of(group=n)) for n in (4, 8, 16, 32)],
    "P, tokens of a prompt": [(n, case_of(prompt=n)) for n in (64, 128, 256, 512)],
    "C, tokens of a completion": [(n, case_of(length=n)) for n in (32, 64, 128, 256)],
    "parameters": [(0, case_of(model=name)) for name in MODELS],
}
"""By what grows: its size and the case; a model's size is counted on the model."""
SHORT_AXES = {name: [points[0], points[-2]] for name, points in AXES.items()}
"""Two points each: an exponent, and nothing to tell how good it is."""


def measure(name: str, points: list[tuple[int, Case]], threads: int) -> dict[str, Any]:
    """Seconds and memory at each point, and the exponents."""
    with tempfile.TemporaryDirectory() as place:
        found = [point(size, case, Path(place), threads) for size, case in points]
    sizes = [p["size"] for p in found]
    figures = [key for key in found[0] if key != "size"]
    return {
        "axis": name,
        "points": found,
        "exponents": {key: exponent(sizes, [p[key] for p in found]) for key in figures},
    }


def process(steps: int, threads: int) -> dict[str, Any]:
    """By how many MB a training grows from the tenth part of its steps to the end: a tiny model, so
    that what stays behind is not the model's."""
    with tempfile.TemporaryDirectory() as place:
        measured = ours_on(SMOKE_CASES[0], Path(place), threads, warm_up=0, steps=steps)
    memory = [step["memory_mb"] for step in measured["steps"]]
    early = steps // 10
    grown = memory[-1] - memory[early]
    point = {"steps": steps, "growth MB": grown, "MB a 1,000 steps": 1000 * grown / (steps - early)}
    return {"axis": "steps of a process", "points": [point], "exponents": {}}


def ours_on(case: Case, place: Path, threads: int, warm_up: int, steps: int) -> dict[str, Any]:
    """Our steps after the warm-up, in a fresh process."""
    source = ask("make", case, threads, folder=str(place / case.model), smollm2=None)["source"]
    return ask(
        OURS,
        case,
        threads,
        source=source,
        dtype="float32",
        device="cpu",
        micro_batch=None,
        warm_up=warm_up,
        steps=warm_up + steps,
    )


def point(size: int, case: Case, place: Path, threads: int) -> dict[str, float]:
    """CPU seconds of a step and its phases, and the memory that the steps added."""
    measured = ours_on(case, place, threads, WARM_UP, STEPS)
    phases = [step["phases"] for step in measured["steps"]]
    # The quickest: what else the machine does only adds.
    seconds = {
        f"{name} s": min(step[name]["cpu"] for step in phases)
        for name in ("step", "rollout", "update")
    }
    parameters = measured["size"]["body"] + measured["size"]["head"]
    added = measured["peak_mb"] - measured["loaded_mb"]
    return {"size": float(size or parameters), **seconds, "added MB": max(added, 1.0)}
