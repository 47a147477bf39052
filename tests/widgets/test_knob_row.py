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


def test_a_hand_on_the_slider_is_told_what_would_be_and_asks_nothing() -> None:
    asked: list[Any] = []
    row = KnobRow(
        "epsilon",
        0.2,
        lambda _, new: asked.append(new),
        foresee=lambda name, value: f"{name} {value} would clip 3 of 1,132 tokens",
    )
    for place in (0.15, 0.1, 0.05):
        row.slider.preview = place
    assert row.slider.said == "epsilon 0.05 would clip 3 of 1,132 tokens"
    assert (asked, row.box.value, row.slider.live) == ([], 0.2, False)
    row.slider.value = 0.05  # let go
    row.slider.preview = None
    assert (asked, row.box.value, row.slider.said) == ([0.05], 0.05, "")


def test_the_way_back_leads_to_where_the_run_began() -> None:
    asked: list[Any] = []
    row = KnobRow("beta", 0.02, lambda _, new: asked.append(new), home=0.005)
    assert not row.back.disabled
    row.back.click()
    row.show(0.02, 0.005, is_pending=True)
    assert (asked, row.box.value, row.back.disabled) == ([0.005], 0.005, True)
    assert "back to 0.005" in row.back.tooltip
    elsewhere, _ = row_of("beta", 0.02)
    assert elsewhere.back.layout.display == "none", "a question has no beginning"


def test_a_pale_handle_marks_what_is_in_force_until_the_next_step() -> None:
    row, _ = row_of("epsilon", 0.2)
    assert row.slider.in_force is None
    row.show(0.2, 0.3, is_pending=True)
    assert row.slider.in_force == 0.2
    row.show(0.3, None)
    assert row.slider.in_force is None


def test_a_field_that_is_none_folds_its_slider_away() -> None:
    row, _ = row_of("delta", None)
    assert (row.slider.layout.display, row.box.layout.display) == ("none", "none")
    row.off.value = False
    assert (row.slider.layout.display, row.box.layout.display) == (None, None)


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
    assert row.state.value == "", "what is in force is what the box says"
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


@pytest.mark.parametrize("pending", [None, 0.3])
def test_that_a_field_does_nothing_comes_before_when_it_begins_to(pending: float | None) -> None:
    row, _ = row_of("epsilon", 0.2)
    row.show(0.2, pending, pending is not None, "on-policy")
    assert '<i title="on-policy">does nothing</i>' in row.state.value
    assert "next step" not in row.state.value


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
    row.show(False, True, is_pending=True)
    assert "off &rarr; <b>on</b>" in row.state.value
