"""How things grow: exponents by hand, and a small record measured from writing to its pages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import scaling  # noqa: E402
from yardstick import axes, records  # noqa: E402
from yardstick.fit import exponent  # noqa: E402
from yardstick.models import SIZES  # noqa: E402

from workbench.widgets.pages import PAGES  # noqa: E402


def test_exponents_of_known_powers() -> None:
    sizes = [1, 2, 4, 8]
    assert exponent(sizes, [3 * n**2 for n in sizes]) == pytest.approx(2)
    assert exponent(sizes, [5.0] * 4) == pytest.approx(0)
    # A fixed cost hides the growth of what is small: between 0 and 1.
    assert 0 < exponent(sizes, [10 + n for n in sizes]) < 0.5


def test_each_axis_moves_one_thing_alone() -> None:
    for name, points in axes.AXES.items():
        cases = [case for _, case in points]
        told = {
            "G": {c.shape.group for c in cases},
            "P": {c.shape.prompt_tokens for c in cases},
            "C": {c.shape.completion_tokens for c in cases},
            "parameters": {c.model for c in cases},
        }
        assert {key for key, values in told.items() if len(values) > 1} == {name.split(",")[0]}
    assert set(axes.MODELS) <= set(SIZES)


def test_a_small_record_is_written_opened_and_shown_whole() -> None:
    points = records.grown([(10, 20), (40, 20)])
    for point in points:
        assert point["slowest page"] in PAGES
        assert min(point["write ms a step"], point["open ms"], point["slowest page ms"]) > 0
    found = records.exponents(points, "steps")
    # Four times the steps are nearly four times the bytes, but for what every record has.
    assert 0.3 < found["record MB"] < 1.1
    assert "slowest page" not in found


def test_a_table_has_a_row_for_each_point_and_one_for_the_exponents() -> None:
    points = [{"size": 64.0, "step s": 0.5}, {"size": 12_800.0, "step s": 1.0}]
    table = {"axis": "P", "points": points, "exponents": {"step s": 0.131}}
    lines = scaling.shown(table).splitlines()
    assert lines[2:] == [
        "| | size | step s |",
        "|---|---|---|",
        "| | 64 | 0.5 |",
        "| | 12,800 | 1 |",
        "| exponent |  | 0.13 |",
    ]
