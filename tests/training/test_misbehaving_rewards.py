"""Rewards that do what no reward should, in the middle of a session: named with the sample, nothing
lost, said on the dashboard, and the run goes on once the reward is mended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import digits_reward

from workbench.runs import Run
from workbench.training.session import SessionError
from workbench.widgets import Dashboard

Reward = Callable[..., Any]


def raises(completions, **columns):
    raise KeyError("no such column")


def hangs(completions, **columns):
    time.sleep(600)


def exits(completions, **columns):
    sys.exit(0)


def interrupts_in_words(completions, **columns):
    raise BaseExceptionGroup("many", [ValueError("one"), ValueError("two")])


def too_few(completions, **columns):
    return digits_reward(completions)[1:]


def a_text(completions, **columns):
    return "1.0"


def texts(completions, **columns):
    return ["1.0"] * len(completions)


def nested(completions, **columns):
    return [[1.0]] * len(completions)


def not_a_number(completions, **columns):
    return [0.5, float("nan"), *digits_reward(completions)[2:]]


def infinite(completions, **columns):
    return [float("inf"), *digits_reward(completions)[1:]]


def beyond_float32(completions, **columns):
    return [*digits_reward(completions)[:-1], 1e300]


def a_long_integer(completions, **columns):
    return [10**400, *digits_reward(completions)[1:]]


def eats_memory(completions, **columns):
    return bytearray(1 << 60)


def recurses(completions, **columns):
    return recurses(completions)


STOPS: dict[Reward, str] = {
    raises: "raised KeyError: 'no such column'",
    hangs: "had not returned after 1 s",
    exits: "raised SystemExit: 0",
    interrupts_in_words: "raised ExceptionGroup: many",
    too_few: "returned 15 reward",
    a_text: "returned '1.0', a str",
    texts: "returned '1.0', a str; expected a number.* Row 0: prompt",
    nested: r"returned \[1.0\], a list; expected a number.* Row 0: prompt",
    not_a_number: "returned nan; expected a finite float32.* Row 1: prompt",
    infinite: "returned inf; expected a finite float32.* Row 0: prompt",
    beyond_float32: r"returned 1e\+300; expected a finite float32.* Row 15: prompt",
    a_long_integer: "returned 10+; expected a finite float32.* Row 0: prompt",
    eats_memory: "raised MemoryError",
    recurses: "raised RecursionError",
}


@pytest.mark.parametrize("reward", STOPS, ids=lambda reward: reward.__name__)
def test_it_is_named_and_nothing_is_lost(make_session, reward: Reward) -> None:
    bad = {"from": 3}

    def function(completions, trainer_state, **columns):
        wrong = trainer_state.global_step >= bad["from"]
        return (reward if wrong else digits_reward)(completions, **columns)

    function.__name__ = reward.__name__
    session = make_session("hurt", rewards=function, reward_timeout=1.0, max_steps=4)
    session.start()
    assert session._runner.worker.idle.wait(60)
    # As a person sees it who has not asked for the error yet.
    shown = Dashboard(session).controls.message.value
    assert "training stopped" in shown
    assert reward.__name__ in shown
    with pytest.raises(SessionError, match=f"(?s)at step 2: .*{reward.__name__}.*{STOPS[reward]}"):
        session.wait(60)
    record = Run.open(session.out)
    assert record.steps()["step"].tolist() == [1, 2]
    assert record.events().iloc[-1]["kind"] == "error"

    bad["from"] = 10**9
    session.resume().wait(60)
    assert session.run.steps()["step"].tolist() == [1, 2, 3, 4]
    sound = make_session("sound", rewards=digits_reward, max_steps=4).start().wait(60)
    ours = session.run.steps()["loss"].tolist()
    assert ours == sound.run.steps()["loss"].tolist()


def test_a_recorded_error_does_not_say_where_the_person_lives(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback names the files of their own code."""
    home = str(Path(__file__).parents[2])
    monkeypatch.setenv("HOME", home)
    session = make_session(rewards=raises)
    with pytest.raises(SessionError):
        session.start().wait(60)
    told = session.run.events().iloc[-1]
    assert f"~{os.sep}tests" in told["data"]["traceback"]
    assert home not in told["data"]["traceback"] + told["text"]
    session.stop()
    content = (session.out / "run.sqlite").read_bytes()
    assert home.encode() not in content


def prints(completions, **columns):
    line = "x" * (1 << 20)
    for _ in range(100):
        print(line)
    return digits_reward(completions)


def mutates(prompts, completions, completion_ids, **columns):
    rewards = digits_reward(completions)
    for each in completions:
        each[0]["content"] = "gone"
        each.clear()
    prompts.clear()
    completion_ids[0].append(7)
    return rewards


def starts_threads(completions, **columns):
    for _ in range(5):
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
    return digits_reward(completions)


def leaves_zombies(completions, **columns):
    for _ in range(3):
        subprocess.Popen([sys.executable, "-c", ""])
    return digits_reward(completions)


def changes_its_surroundings(completions, **columns):
    os.environ["WORKBENCH_TEST_LEFT"] = "1"
    sys.setrecursionlimit(sys.getrecursionlimit())
    return digits_reward(completions)


GOES_ON = (prints, mutates, starts_threads, leaves_zombies, changes_its_surroundings)


@pytest.mark.parametrize("reward", GOES_ON, ids=lambda reward: reward.__name__)
def test_what_harms_nobody_changes_no_number(make_session, reward: Reward) -> None:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        odd = make_session("odd", rewards=reward, max_steps=2).start().wait(120)
    plain = make_session("plain", rewards=digits_reward, max_steps=2).start().wait(60)
    assert odd.run.steps()["loss"].tolist() == plain.run.steps()["loss"].tolist()
    assert odd.run.samples(2)["completion"].tolist() == plain.run.samples(2)["completion"].tolist()
