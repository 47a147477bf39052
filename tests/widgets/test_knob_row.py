"""A row of controls for one field: what counts as a person's move, what None means, what a screen reader is told."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.config import GRPOConfig
from workbench.widgets.knob_row import KnobRow


def row_of(name: str, value: Any) -> tuple[KnobRow, list[Any]]:
    asked: list[Any] = []
    return KnobRow(name, value, lambda _, new: asked.append(new)), asked


@pytest.mark.parametrize(("name", "value", "on_the_grid"), [("beta", 0.005, 0.0050118723), ("epsilon_high", None, 0.28), ("delta", None, 4.0)])
def test_a_browser_that_rounds_the_slider_moves_nothing(name: str, value: Any, on_the_grid: float) -> None:
    row, asked = row_of(name, value)
    row.slider.value = on_the_grid * (1 + 1e-6)
    row.slider.value = on_the_grid
    assert asked == []
    assert row._reading() == value


def test_a_moved_slider_asks_and_the_box_follows() -> None:
    row, asked = row_of("beta", 0.005)
    row.slider.value = 0.05
    assert asked == [0.05]
    assert row.box.value == 0.05


def test_leaving_none_begins_at_a_sensible_value() -> None:
    row, asked = row_of("epsilon_high", None)
    row.off.value = False
    row.off.value = True
    assert asked == [0.28, None]


def test_what_is_pending_is_shown_beside_what_is_in_force() -> None:
    row, _ = row_of("epsilon", 0.2)
    row.show(0.2, 0.3, is_pending=True)
    assert "0.2 &rarr; <b>0.3</b> next step" in row.state.value
    row.show(0.3, None)
    assert "0.3 in force" in row.state.value
    assert row.box.value == 0.3


@pytest.mark.parametrize("name", [n for n in GRPOConfig.live_fields() if n != "reward_weights"])
def test_every_input_has_a_name_to_read_out(name: str) -> None:
    row, _ = row_of(name, getattr(GRPOConfig(), name))
    assert all(control.description for control in row.inputs)
