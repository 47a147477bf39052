"""Checks, comparisons, charts and recorded runs of the course."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.course import chart, check, compare, panel, recorded, results
from workbench.errors import WorkbenchError


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    boxes: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: boxes.append(data))
    return boxes


def test_a_solved_exercise(shown: list) -> None:
    with check("Exercise 1", 3):
        assert 1 + 2 == 3
    assert results["Exercise 1"] == ""
    assert shown[0]["text/plain"] == "✓ Exercise 1: solved."


def test_what_is_still_wrong_is_said_and_escaped(shown: list) -> None:
    with check("Exercise 2", 4):
        raise AssertionError("count <b>again</b>")
    assert results["Exercise 2"] == "count <b>again</b>"
    assert "not yet" in shown[0]["text/plain"]
    assert "<b>again" not in shown[0]["text/html"]


def test_an_untouched_placeholder_is_asked_for(shown: list) -> None:
    with check("Exercise 3", 1, ...):
        raise TypeError("unsupported operand: ellipsis")
    assert "Replace the ..." in results["Exercise 3"]


def test_an_error_of_the_learners_code_is_named(shown: list) -> None:
    with check("Exercise 4"):
        raise KeyError("x")
    assert results["Exercise 4"] == "Your code raised KeyError: 'x'"


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), check("Exercise 5"):
        raise KeyboardInterrupt


def test_comparison_writes_numbers_alike() -> None:
    table = compare([("A", [0.45, -0.45], np.array([0.4625, -0.4375]), "a <rounded> mean")])
    assert repr(table) == "A | [0.45, −0.45] | [0.4625, −0.4375] | a <rounded> mean"
    assert "&lt;rounded&gt;" in table._repr_html_()
    assert repr(compare([("zero", -0.00001, 1e-9, "")])) == "zero | 0 | 0 | "


def test_chart_draws_every_line() -> None:
    x = np.linspace(0.1, 3, 50)
    plot = chart(
        panel(
            "The <clip>",
            x,
            {"up": np.minimum(x, 1.2), "down": -x},
            x_title="ratio r",
            verticals={"1 + ε": 1.2},
        )
    )
    svg = plot.picture()
    assert svg.count("<path") + svg.count("<polyline") >= 2
    assert "The &lt;clip&gt;" in svg
    assert "ratio r" in svg
    assert "1 + ε" in svg
    assert "at ratio r 3" in plot.summary


def test_log_axes_hold_the_data() -> None:
    drawn = panel("logs", [1, 10, 1000], {"y": [1e-3, 1, 10]}, log_x=True, log_y=True, dots=True)
    low, high = drawn["layout"]["xaxis"]["range"]
    assert low < 0 < 3 < high < 3.2
    assert drawn["layout"]["yaxis"]["type"] == "log"


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="'y' has 3 values, x has 2"):
        panel("t", [1, 2], {"y": [1, 2, 3]})
    with pytest.raises(ValueError, match="a line needs two"):
        panel("t", [1], {"y": [1]})
    with pytest.raises(ValueError, match="at least one"):
        chart()


def test_an_unknown_recorded_run_names_those_that_are() -> None:
    with pytest.raises(WorkbenchError, match="no recorded run 'nope'. Choose from "):
        recorded("nope")
