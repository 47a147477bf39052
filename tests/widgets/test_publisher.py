"""The publisher: who draws, how often, and when it ends."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from workbench.training.session.pump import PUBLISHERS
from workbench.widgets.base import publisher
from workbench.widgets.base.publisher import Publisher


class Source:
    """What a publisher needs of a session."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        self.watchers: list[Callable[[], None]] = []

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(listener)
        return lambda: self.watchers.remove(listener)

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self) -> None:
        for listener in self.listeners:
            listener()


def until(condition: Callable[[], object], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def test_it_draws_at_most_so_often_and_never_misses_the_last_change() -> None:
    source, drawn, state = Source(), [], {"n": 0}
    made = Publisher(lambda: drawn.append(state["n"]), [source])
    for n in range(50):
        state["n"] = n
        source.tell()
        time.sleep(0.01)
    assert until(lambda: drawn and drawn[-1] == 49)
    assert len(drawn) <= 6
    made.close()


def test_a_step_in_hand_is_glanced_at_and_a_change_between_two_glances_is_drawn() -> None:
    source, drawn = Source(), []
    made = Publisher(lambda: drawn.append("all"), [source], glance=lambda: drawn.append("a glance"))
    assert until(lambda: drawn == ["all"])
    began = time.monotonic()
    while time.monotonic() < began + 1.0:
        source.watchers[0]()
        time.sleep(0.005)
    assert set(drawn[1:]) == {"a glance"}
    assert 2 <= len(drawn[1:]) <= 5, "at most four a second, the first one at once"
    source.tell()
    source.watchers[0]()
    assert until(lambda: drawn[-1] == "all")
    made.close()
    assert (source.watchers, source.listeners) == ([], [])


def test_a_page_that_is_slow_to_draw_is_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "INTERVAL", 0.0)
    source, begun = Source(), []

    def draw() -> None:
        begun.append(time.monotonic())
        time.sleep(0.05)

    made = Publisher(draw, [source])
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        source.tell()
        time.sleep(0.005)
    made.close()
    pauses = [b - a for a, b in itertools.pairwise(begun)]
    assert pauses
    assert min(pauses) >= 0.05 / publisher.SHARE * 0.95


def test_the_newest_with_a_session_in_focus_takes_over_and_close_leaves_nothing() -> None:
    one, two, rested = Source(), Source(), []
    before, others = list(PUBLISHERS), set(threading.enumerate())
    first = Publisher(lambda: None, [one], lambda: rested.append("first"))
    both = Publisher(lambda: None, [two, one], lambda: rested.append("both"))
    assert rested == []
    second = Publisher(lambda: None, [one], lambda: rested.append("second"))
    assert (rested, first.resting) == (["first"], True)
    both.follow(one)
    assert rested == ["first", "second"]
    first.resume()
    assert not first.resting
    for made in (first, second, both, both):
        made.close()
    assert (one.listeners, two.listeners, PUBLISHERS) == ([], [], before)
    assert until(
        lambda: (
            not any(t.name == "workbench publisher" for t in set(threading.enumerate()) - others)
        )
    )
