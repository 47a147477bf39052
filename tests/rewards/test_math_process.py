"""math-verify in its process: computing time is limited, not time on the clock; what was not
decided is neither remembered nor called wrong."""

import os
import signal
import sys
import threading
import time

import pytest

from workbench.rewards import (
    GoldError,
    RewardSet,
    answer_reward,
    answers_equal,
    check_gold,
    lenient_answer_reward,
    strict_correct,
)
from workbench.rewards.answers import equal as equality
from workbench.rewards.answers import math_process
from workbench.rewards.answers.math_process import MathProcess, UndecidedError

ENDLESS = "9^{9^{9^9}}"


@pytest.fixture
def process():
    process = MathProcess()
    yield process
    process.close()


@pytest.fixture
def never_decided(monkeypatch):
    """math-verify that runs out of time with each question; the questions it was asked."""
    asked = []

    def equal(self, given, gold, seconds):
        asked.append((given, gold, seconds))
        raise UndecidedError("no time")

    equality._expressions_equal.cache_clear()
    equality._read_gold.cache_clear()
    monkeypatch.setattr(MathProcess, "equal", equal)
    yield asked
    equality._expressions_equal.cache_clear()
    equality._read_gold.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no process by a signal")
def test_a_process_that_gets_no_turn_is_not_out_of_time(process):
    assert process.equal("x+x", "2x", 5)
    results = []
    os.kill(process._worker.pid, signal.SIGSTOP)
    asking = threading.Thread(target=lambda: results.append(process.equal("y+y", "2y", 0.5)))
    asking.start()
    time.sleep(1.5)
    os.kill(process._worker.pid, signal.SIGCONT)
    asking.join(timeout=30)
    assert results == [True]


def test_the_grammar_is_loaded_before_the_first_question(process):
    # Loading it takes more than a second of computing, a question a hundredth of that.
    assert process.equal(r"\frac{1}{2}x", r"\frac{x}{2}", 0.3)


def test_one_that_never_ends_is_undecided_and_the_next_is_answered(process):
    assert process.equal("x+x", "2x", 5)
    with pytest.raises(UndecidedError, match=r"in 0\.5 seconds of computing"):
        process.equal(ENDLESS, "y", 0.5)
    assert process.equal("x+x", "2x", 5)


def test_a_worker_that_dies_leaves_the_question_undecided(process, monkeypatch):
    monkeypatch.setattr(process, "_reply", lambda: "died")
    monkeypatch.setattr(process, "_check_start", lambda: None)
    with pytest.raises(UndecidedError):
        process.equal("x", "x", 5)


def test_what_was_not_decided_is_asked_again(never_decided, monkeypatch):
    monkeypatch.setattr(math_process, "readable", lambda gold: True)
    assert answers_equal("z+z", "2z") is None
    assert answers_equal("z+z", "2z") is None
    assert len(never_decided) == 2


def test_what_was_not_decided_is_not_scored_and_is_counted(never_decided, monkeypatch):
    monkeypatch.setattr(math_process, "readable", lambda gold: True)
    texts = ["<think></think><answer>z+z</answer>", "<think></think><answer></answer>"]
    columns = {"answer": ["2z", "2z"]}
    assert answer_reward(completions=texts, **columns) == [None, 0.0]
    assert lenient_answer_reward(completions=texts, **columns) == [None, 0.0]
    assert strict_correct(texts[0], "2z") is None
    table = RewardSet(["format", "answer"]).score(["?", "?"], texts, step=0, columns=columns)
    assert table.metrics == {"answers_not_compared": 1.0}
    assert table.rewards_BK[0].tolist()[0] == 1.0
    assert str(table.rewards_BK[0].tolist()[1]) == "nan"


def test_a_gold_that_ran_out_of_time_is_tried_once_more_with_more_of_it(monkeypatch):
    limits = []

    def equal(self, given, gold, seconds):
        limits.append(seconds)
        if len(limits) == 1:
            raise UndecidedError("busy")
        return True

    monkeypatch.setattr(MathProcess, "equal", equal)
    equality._read_gold.cache_clear()
    check_gold(r"\frac{1}{2}q")
    assert limits == [math_process.TIME_LIMIT, math_process.GOLD_TIME_LIMIT]


def test_a_gold_that_never_comes_out_is_an_error_that_says_so(never_decided):
    with pytest.raises(GoldError, match="cannot be checked: no time"):
        check_gold(r"\frac{1}{2}q")
    assert len(never_decided) == 2


@pytest.mark.parametrize(
    "given",
    [
        *(ENDLESS, "(10^{9})!", "2^{1000000000}x", "9!!!!", "123456!x"),
        *("-1E-999999999", "x + 1e+999999", "2.5 e 12345"),
    ],
)
def test_no_policy_escapes_a_zero_by_what_cannot_be_worked_out(given, never_decided, monkeypatch):
    monkeypatch.setattr(math_process, "readable", lambda gold: True)
    assert answers_equal(given, "y+y") is False
    assert never_decided == []


@pytest.mark.parametrize("given", ["\\int 0", "\\int 0 dx", "\\int x"])
def test_no_policy_escapes_a_zero_by_what_sympy_fails_on(given):
    assert answers_equal(given, "x+1") is False
    assert answers_equal(given, "\\sqrt{2}") is False


@pytest.mark.parametrize("given", ["\\left", "\\,", "\\text", "\\!\\!"])
def test_an_answer_of_nothing_but_spacing_is_wrong_and_ends_no_run(given):
    assert answers_equal(given, "x+1") is False


def test_a_gold_with_powers_of_powers_is_still_compared():
    assert answers_equal("2^{2^{3}}x", "2^{2^{3}}x") is True
    assert answers_equal("2^{2^{4}}x", "2^{2^{3}}x") is False
