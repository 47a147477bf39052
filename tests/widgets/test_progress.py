"""How far a session is, in words, and how long it will take."""

from __future__ import annotations

import pytest

from workbench.widgets.controls.inside_step import speed_in_full, speed_words
from workbench.widgets.controls.pace import Pace, clock
from workbench.widgets.controls.progress import Progress


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("ready", 0, 32), "ready, 32 steps to go"),
        (Progress("training", 0, 32), "training, step 1 of 32"),
        (Progress("training", 0, 32, (61, 128)), "training, step 1 of 32"),
        (Progress("training", 8, 32, (61, 128), 24.4), "training, step 9 of 32 · 0:24 left"),
        (Progress("stopping", 8, 32, left=24.0), "stopping, step 9 of 32"),
        (Progress("training", 32, 32), "training, step 32 of 32"),
        (Progress("paused", 8, 32), "paused, step 8 of 32"),
        (Progress("going back to step 2", 7, 32), "going back to step 2, step 7 of 32"),
    ],
)
def test_the_words(progress: Progress, words: str) -> None:
    assert progress.words == words
    assert words in progress.markup
    assert f'aria-valuenow="{progress.step}"' in progress.markup


def test_what_a_session_does_is_inert() -> None:
    assert "<img" not in Progress("<img src=x>", 1, 2).markup


def test_the_pace_is_that_of_the_newest_steps() -> None:
    pace = Pace()
    assert pace.seconds_left(10, 0.0) is None
    for step, now in ((0, 0.0), (1, 2.0), (2, 4.0), (3, 6.0)):
        pace.saw(step, now, training=True)
        pace.saw(step, now + 0.5, training=True)  # the same step again
    assert pace.seconds_left(10, 6.0) == pytest.approx(14.0)
    assert pace.seconds_left(10, 7.0) == pytest.approx(13.0), "the step in hand has begun"
    assert pace.seconds_left(3, 9.0) == 0.0
    for step in range(4, 12):
        pace.saw(step, 6.0 + 10 * (step - 3), training=True)
    assert pace.seconds_left(12, 86.0) == pytest.approx(10.0), "a knob may have changed it"


def test_at_rest_and_after_a_rewind_there_is_no_pace() -> None:
    pace = Pace()
    for step in range(5):
        pace.saw(step, float(step), training=True)
    pace.saw(2, 6.0, training=True)
    assert pace.seconds_left(10, 6.0) is None
    pace.saw(3, 7.0, training=True)
    assert pace.seconds_left(10, 7.0) == pytest.approx(7.0)
    pace.saw(3, 60.0, training=False)
    assert pace.seconds_left(10, 60.0) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0:00"), (24.4, "0:24"), (59.7, "1:00"), (725, "12:05"), (11_220, "3:07:00")],
)
def test_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("row", "words", "about"),
    [
        (
            {"step": 6.0, "tokens": 2688.0, "seconds/step": 1.85, "seconds/rollout": 0.61},
            "1,453 tokens/s",
            "step 6: 2,688 sampled tokens in 1.85 s, all phases together; the rollout alone "
            "4,407 tokens/s",
        ),
        (
            {"step": 1.0, "tokens": 93.0, "seconds/step": 30.0},
            "3.1 tokens/s",
            "step 1: 93 sampled tokens in 30.0 s, all phases together",
        ),
        ({}, "", ""),
        ({"step": 1.0, "tokens": 8.0, "seconds/step": 0.0}, "", ""),
        ({"step": 1.0, "tokens": float("nan"), "seconds/step": 1.0}, "", ""),
    ],
)
def test_the_speed_of_the_last_step(row: dict[str, float], words: str, about: str) -> None:
    assert speed_words(row) == words
    assert speed_in_full(row) == about
