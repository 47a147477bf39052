"""Replay: the step goes on by itself, once through, and stops when it is told to."""

from __future__ import annotations

import time

import ipywidgets as w

from workbench.widgets.controls.replay import Replay


def until(condition, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_from_the_end_it_begins_again_and_ends_by_itself() -> None:
    step, seen = w.IntSlider(value=4, min=1, max=4), []
    step.observe(lambda change: seen.append(change["new"]), "value")
    replay = Replay(step)
    replay.speed.value = 0.1
    replay.button.value = True
    assert until(lambda: not replay.button.value)
    assert seen == [1, 2, 3, 4]


def test_it_stops_where_it_is_and_goes_on_from_there() -> None:
    step = w.IntSlider(value=1, min=1, max=100)
    replay = Replay(step)
    replay.speed.value = 0.1
    replay.button.value = True
    assert until(lambda: step.value >= 3)
    replay.button.value = False
    here = step.value
    time.sleep(0.3)
    assert here <= step.value <= here + 1
    replay.button.value = True
    assert until(lambda: step.value > here + 1)
    replay.stop()
