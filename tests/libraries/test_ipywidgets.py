"""What we touch inside ipywidgets, on the installed version."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
import pytest
from ipywidgets import HTML, VBox, Widget

from workbench.libraries import ipywidgets_ as library

ASKED = {"content": {"data": {"method": "request_states"}}}


class Page:
    """The page's end of the comm by which it asks for all widgets."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send(self, data: dict[str, Any], buffers: Any) -> None:
        self.heard.append(data)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page()
    monkeypatch.setattr(Widget, "_control_comm", page)
    monkeypatch.setattr(Widget, "_handle_control_comm_msg", Widget._handle_control_comm_msg)
    return page


@contextmanager
def children_come_and_go(parents: list[VBox]) -> Iterator[None]:
    """Another thread gives the parents other children all the time, in bursts."""
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            for parent in parents:
                old, parent.children = parent.children, [HTML("new")]
                for child in old:
                    child.close()
            ended.wait(0.2)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def children_of(states: dict[str, Any]) -> set[str]:
    """The ids of all widgets that a container in these states shows."""
    shown = [child for one in states.values() for child in one["state"].get("children", ())]
    return {child.removeprefix("IPY_MODEL_") for child in shown}


def test_a_page_hears_of_all_widgets_while_others_come_and_go(page: Page) -> None:
    library.answer_pages_whole()
    library.answer_pages_whole()
    # So many that a walk over all of them takes longer than what moves stands still.
    kept = [VBox([HTML("a"), HTML("b")]) for _ in range(400)]
    with children_come_and_go(kept[:4]):
        for _ in range(20):
            Widget._handle_control_comm_msg(ASKED)
    assert len(page.heard) == 20
    for said in page.heard:
        assert said["method"] == "update_states"
        assert {one.model_id for one in kept} <= said["states"].keys()
        assert children_of(said["states"]) <= said["states"].keys(), "a parent without its child"


def test_ipywidgets_own_answer_fails_there(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this holds no longer, the room can go."""
    monkeypatch.setattr(Widget, "_handle_control_comm_msg", classmethod(library.ANSWER))
    kept = [VBox([HTML("a"), HTML("b")]) for _ in range(40)]

    def ask_often() -> None:
        for _ in range(200):
            Widget._handle_control_comm_msg(ASKED)

    with children_come_and_go(kept[:4]), pytest.raises(RuntimeError, match="changed size"):
        ask_often()


def test_the_answer_is_ipywidgets_own_where_nothing_moves(page: Page) -> None:
    library.answer_pages_whole()
    shown = VBox([HTML("a"), ipywidgets.IntSlider()])
    Widget._handle_control_comm_msg(ASKED)
    library.ANSWER(Widget, ASKED)
    ours, theirs = page.heard
    assert ours == theirs
    assert shown.model_id in ours["states"]


def test_another_question_is_left_to_ipywidgets(page: Page) -> None:
    library.answer_pages_whole()
    with pytest.raises(RuntimeError, match="Unknown front-end"):
        Widget._handle_control_comm_msg({"content": {"data": {"method": "no such"}}})
