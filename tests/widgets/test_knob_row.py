"""A row of controls for one field: what counts as a person's move, what None means, what a screen
reader is told."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from workbench.config import GRPOConfig
from workbench.widgets.controls.knob_row import KnobRow


def row_of(name: str, value: Any) -> tuple[KnobRow, list[Any]]:
    asked: list[Any] = []
    return KnobRow(name, value, lambda _, new: asked.append(new)), asked


@pytest.mark.parametrize(
    ("name", "value", "on_the_grid"),
    [("beta", 0.005, 0.0050118723), ("epsilon_high", None, 0.28), ("delta", None, 4.0)],
)
def test_a_browser_that_rounds_the_slider_moves_nothing(
    name: str, value: Any, on_the_grid: float
) -> None:
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
    assert "0.2 &rarr; <b>0.3</b><br>next step" in row.state.value
    row.show(0.3, None)
    assert "0.3 in force" in row.state.value
    assert row.box.value == 0.3


@pytest.mark.parametrize("name", [n for n in GRPOConfig.live_fields() if n != "reward_weights"])
def test_every_input_has_a_name_to_read_out(name: str) -> None:
    row, _ = row_of(name, getattr(GRPOConfig(), name))
    assert all(control.description for control in row.inputs)


def test_what_is_not_pending_leaves_the_inputs_to_the_person_who_moves_them() -> None:
    row, asked = row_of("epsilon", 0.2)
    row.show(0.2, 0.3, is_pending=True)  # asked for elsewhere
    assert row.box.value == 0.3
    row.box.value = 0.4
    row.show(0.2, 0.4, is_pending=True)
    assert (row.box.value, asked) == (0.4, [0.4])


def test_a_move_counts_while_another_thread_tells_the_row_something() -> None:
    row, asked = row_of("beta", 0.005)
    telling, moved = threading.Event(), threading.Event()

    def linger(change: dict[str, Any]) -> None:
        if threading.current_thread() is teller:
            telling.set()
            moved.wait(5)

    row.box.observe(linger, "value")
    teller = threading.Thread(target=row.show, args=(0.5, None))
    teller.start()
    assert telling.wait(5)
    row.box.value = 0.25
    moved.set()
    teller.join(5)
    assert asked == [0.25]


def test_a_value_that_is_refused_leaves_the_row_and_reaches_no_slider() -> None:
    row = KnobRow("beta", 0.005, lambda name, value: row.take_back())
    slid: list[float] = []
    row.slider.observe(lambda change: slid.append(change["new"]), "value")
    row.box.value = float("nan")
    assert (row.box.value, row.slider.value, slid) == (0.005, 0.005, [])
    row.box.value = -1.0
    assert (row.box.value, row.slider.value) == (0.005, 0.005)


@pytest.mark.parametrize(("pending", "idle"), [(0.3, ""), (None, "on-policy"), (0.3, "on-policy")])
def test_a_row_that_says_two_things_is_no_higher(pending: float | None, idle: str) -> None:
    row, _ = row_of("epsilon", 0.2)
    row.show(0.2, pending, pending is not None, idle)
    assert row.state.value.count("<br>") == 1
    assert "line-height:14px" in row.state.value
    assert "nowrap" in row.state.value


def test_a_menu_shows_none_as_a_line_of_its_own() -> None:
    row, asked = row_of("importance_sampling_mode", None)
    assert row.box.label == "none"
    row.box.label = row.box.options[1][0]
    row.box.label = "none"
    assert asked == [row.box.options[1][1], None]
    row.show(row.box.options[1][1], None)
    row.show(None, None)
    assert row.box.label == "none"


def test_what_a_slider_sets_has_room_in_the_box() -> None:
    row, asked = row_of("beta", 0.005)
    row.slider.value = 10**-2.95
    assert asked == [0.001122]


def test_a_switch_says_on_and_off() -> None:
    row, _ = row_of("mask_truncated_completions", False)
    assert "off in force" in row.state.value
    row.show(False, True, is_pending=True)
    assert "off &rarr; <b>on</b>" in row.state.value
