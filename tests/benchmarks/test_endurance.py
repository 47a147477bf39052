"""What the endurance measurement calls growth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def endurance(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("endurance", None)
    import endurance

    return endurance


def places(**grows: float) -> list[dict[str, float]]:
    """Ten places; the first half fills caches."""
    steady = {"memory_mb": 400.0, "handles": 10, "threads": 3, "widgets": 90, "comms": 90}
    return [
        {"at": 10 * i, "seconds": 1.0}
        | {name: v + grows.get(name, 0) * 10 * max(i, 5) for name, v in steady.items()}
        for i in range(1, 11)
    ]


def test_what_fills_once_is_no_growth(endurance: Any) -> None:
    assert endurance.faults("steps", places()) == []
    found = places()
    found[0]["memory_mb"] = 100.0
    assert endurance.growth(found)["memory_mb"] == pytest.approx(0, abs=1e-9)


def test_what_grows_with_each_unit_is_named(endurance: Any) -> None:
    found = endurance.faults("steps", places(memory_mb=0.05, widgets=1))
    assert found == ["steps: widgets from 150 to 190", "steps: 50.0 kB of memory a unit"]
    assert endurance.faults("sessions", places(memory_mb=0.05)) == []


def test_work_is_done_once_and_counted_at_its_places(endurance: Any) -> None:
    done: list[int] = []
    found = endurance.measured(7, done.append)
    assert (sum(done), [one["at"] for one in found]) == (7, [1, 2, 3, 4, 5, 6, 7])
