"""A reward function that does not return: broken off at its limit, wherever it is called."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from workbench.rewards import (
    RewardError,
    RewardSet,
    ScoringCancelledError,
    format_reward,
    time_limit,
)

LIMIT = 0.3
BOUND = LIMIT + 5
"""Generous, because the machine may be busy; without a limit it would be for ever."""


def score(functions, timeout=LIMIT, size=4, **options):
    prompts = [str(i) for i in range(size)]
    return RewardSet(functions).score(prompts, ["c"] * size, step=1, timeout=timeout, **options)


def in_main_thread(function):
    return function()


def in_another_thread(function):
    """As a session does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(60)


EVERYWHERE = pytest.mark.parametrize("place", [in_main_thread, in_another_thread])


def ones(completions, **columns):
    return [1.0] * len(completions)


class Hangs:
    """Rewards that wait for an event, each in its own way."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.calls = 0

    def waits(self, completions, **columns):
        self.calls += 1
        self.released.wait()
        return ones(completions)

    def sleeps_in_turns(self, completions, **columns):
        while not self.released.is_set():
            time.sleep(0.01)
        return ones(completions)

    def swallows_errors(self, completions, **columns):
        while not self.released.is_set():
            with suppress(Exception):
                self.released.wait()
        return ones(completions)

    async def awaits(self, completions, **columns):
        while not self.released.is_set():
            await asyncio.sleep(0.01)
        return ones(completions)

    async def blocks_its_loop(self, completions, **columns):
        self.released.wait()
        return ones(completions)


@pytest.fixture
def hangs():
    made = Hangs()
    yield made
    made.released.set()


@EVERYWHERE
@pytest.mark.parametrize(
    "name", ["waits", "sleeps_in_turns", "swallows_errors", "awaits", "blocks_its_loop"]
)
def test_a_call_that_does_not_return_ends_at_its_limit_and_is_named(hangs, place, name) -> None:
    began = time.monotonic()
    with pytest.raises(RewardError) as caught:
        place(lambda: score([ones, getattr(hangs, name)]))
    assert time.monotonic() - began < BOUND
    assert f"reward function '{name}' had not returned after 0.3 s (reward_timeout)" in str(
        caught.value
    )
    assert (caught.value.function, caught.value.row) == (name, None)


def zero_for_the_row_that_failed(completions, **columns):
    """As many reward files have it."""
    rewards = []
    for row, _ in enumerate(completions):
        try:
            if row == 1:
                time.sleep(60)
            rewards.append(1.0)
        except:  # noqa: E722
            rewards.append(0.0)
    return rewards


def passes_over_everything(completions, **columns):
    for _ in range(2):
        with suppress(BaseException):
            time.sleep(60)
    return ones(completions)


def another_error_instead(completions, **columns):
    try:
        time.sleep(60)
    except BaseException:
        raise ValueError("the verifier is broken")  # noqa: B904


def an_exit_instead(completions, **columns):
    try:
        time.sleep(60)
    except BaseException:
        raise SystemExit(3)  # noqa: B904


async def zero_where_cancelled(completions, **columns):
    try:
        await asyncio.sleep(60)
    except:  # noqa: E722
        return [0.0] * len(completions)


async def another_error_where_cancelled(completions, **columns):
    try:
        await asyncio.sleep(60)
    except BaseException:
        raise ValueError("the verifier is broken")  # noqa: B904


SWALLOWING = [
    zero_for_the_row_that_failed,
    passes_over_everything,
    another_error_instead,
    an_exit_instead,
    zero_where_cancelled,
    another_error_where_cancelled,
]


@pytest.mark.parametrize("function", SWALLOWING)
def test_a_function_that_swallows_the_end_of_its_time_has_not_scored(function) -> None:
    """Its call is not accepted, as if the row that hung were wrong, nor blamed on a row."""
    began = time.monotonic()
    with pytest.raises(RewardError) as caught:
        score([ones, function])
    assert time.monotonic() - began < BOUND
    name = function.__name__
    assert f"reward function '{name}' had not returned after 0.3 s" in str(caught.value)
    assert (caught.value.function, caught.value.row) == (name, None)


def test_of_several_async_functions_only_those_that_swallow_the_end_are_named() -> None:
    async def soon(completions, **columns):
        return ones(completions)

    with pytest.raises(RewardError, match="function 'zero_where_cancelled' had not returned"):
        score([soon, zero_where_cancelled])


def test_a_function_that_swallows_a_stop_has_not_scored() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(ScoringCancelledError):
        score(zero_for_the_row_that_failed, timeout=600, should_stop=stop.is_set)


def test_where_no_signal_can_be_sent_the_call_is_made_beside(hangs, monkeypatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(time_limit, "_SIGNAL", None)
    assert score(ones, timeout=60).rewards_BK.sum() == 4
    with pytest.raises(RewardError, match="'waits' had not returned.*goes on in a thread"):
        score(hangs.waits)


def test_of_several_async_functions_those_that_hang_are_named(hangs) -> None:
    async def soon(completions, **columns):
        return ones(completions)

    with pytest.raises(RewardError, match="function 'awaits' had not returned"):
        score([soon, hangs.awaits])


def test_an_async_function_is_cancelled_at_its_limit() -> None:
    ended = threading.Event()

    async def tidy(completions, **columns):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(RewardError, match="'tidy' had not returned"):
        score(tidy)
    assert ended.wait(5)


@EVERYWHERE
def test_a_function_that_hangs_is_not_called_a_second_time(hangs, place) -> None:
    with pytest.raises(RewardError):
        place(lambda: score(hangs.waits))
    assert hangs.calls == 1


@EVERYWHERE
def test_the_search_for_the_sample_to_blame_has_the_limit_too(place) -> None:
    released = threading.Event()

    def fails_at_once_and_hangs_on_one(completions, **columns):
        if len(completions) == 1:
            released.wait()
        raise ValueError("no")

    began = time.monotonic()
    with pytest.raises(RewardError, match=r"raised ValueError: no\..* gave up after 0.3 s"):
        place(lambda: score(fails_at_once_and_hangs_on_one))
    assert time.monotonic() - began < BOUND
    released.set()


@EVERYWHERE
@pytest.mark.parametrize("name", ["waits", "awaits"])
def test_a_stop_breaks_off_a_call_at_once(hangs, place, name) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(ScoringCancelledError):
        place(lambda: score(getattr(hangs, name), timeout=600, should_stop=stop.is_set))
    assert time.monotonic() - began < BOUND


def test_what_an_abandoned_call_does_later_reaches_nothing(hangs) -> None:
    late = []

    def logs_late(completions, log_metric, log_extra, **columns):
        hangs.released.wait()
        for log in (lambda: log_metric("m", 1.0), lambda: log_extra("e", [1] * len(completions))):
            try:
                log()
            except RuntimeError as error:
                late.append(str(error))
        done.set()
        return ones(completions)

    done = threading.Event()
    rewards = RewardSet([logs_late])
    again = dict(prompts=["p"], completions=["c"], step=1)
    with pytest.raises(RewardError, match="goes on in a thread of its own"):
        in_another_thread(lambda: rewards.score(**again, timeout=LIMIT))
    hangs.released.set()
    assert done.wait(5)
    assert [("log_" in text, "has ended" in text) for text in late] == [(True, True)] * 2
    table = rewards.score(**again, timeout=60)
    assert (table.metrics, table.extra) == ({"m": 1.0}, {"e": [1]})


def test_a_regular_expression_that_backtracks_for_ever_is_broken_off_in_the_main_thread() -> None:
    def backtracks(completions, **columns):
        return [float(bool(re.match(r"(a+)+$", "a" * 34 + "b")))] * len(completions)

    began = time.monotonic()
    with pytest.raises(RewardError, match="'backtracks' had not returned"):
        score(backtracks)
    assert time.monotonic() - began < BOUND + 10


def test_nothing_of_the_limit_is_left_in_the_process(hangs) -> None:
    handler = signal.getsignal(signal.SIGVTALRM)
    before = threading.active_count()
    score(ones)
    with pytest.raises(RewardError):
        score(hangs.waits)
    assert signal.getsignal(signal.SIGVTALRM) is handler
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert threading.active_count() == before


def test_the_calls_of_a_set_outside_the_main_thread_are_made_in_one_thread_that_ends_with_it() -> (
    None
):
    seen = []

    def where(completions, **columns):
        seen.append(threading.current_thread())
        return ones(completions)

    rewards = RewardSet(where)
    for _ in range(3):
        in_another_thread(partial(rewards.score, ["p"], ["c"], step=1, timeout=60))
    assert len(set(seen)) == 1
    assert seen[0].daemon
    del rewards
    gc.collect()
    seen[0].join(5)
    assert not seen[0].is_alive()


@EVERYWHERE
def test_an_async_client_that_is_kept_works_in_the_next_step_too(place) -> None:
    kept = {}

    async def asks(completions, **columns):
        """As an HTTP client does, which belongs to the event loop of its first call."""
        loop = asyncio.get_running_loop()
        home = kept.setdefault("loop", loop)
        future = home.create_future()
        home.call_soon(future.set_result, 1.0)
        return [await future] * len(completions)

    rewards = RewardSet(asks)
    for _ in range(2):
        table = place(lambda: rewards.score(["p"], ["c"], step=1, timeout=60))
        assert table.rewards_BK.tolist() == [[1.0]]


def test_an_async_function_does_not_go_on_after_another_has_failed() -> None:
    ended = threading.Event()

    async def slow(completions, **columns):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fails(completions, **columns):
        raise ValueError("no")

    with pytest.raises(RewardError, match="'fails' raised ValueError: no"):
        score([slow, fails], timeout=60)
    assert ended.is_set()


def test_a_set_that_has_called_beside_can_be_copied_and_pickled() -> None:
    rewards = RewardSet(format_reward)
    again = dict(prompts=["p"], completions=["c"], step=1, timeout=60)
    in_another_thread(lambda: rewards.score(**again))
    for other in (copy.deepcopy(rewards), pickle.loads(pickle.dumps(rewards))):
        assert other.score(**again).rewards_BK.tolist() == [[0.0]]


def test_a_loop_started_in_a_notebooks_cell_is_explained() -> None:
    async def later():
        return [1.0]

    def starts_a_loop(completions, **columns):
        waiting = later()
        try:
            return asyncio.run(waiting)
        finally:
            waiting.close()

    async def in_a_notebook():
        return score(starts_a_loop, size=1)

    with pytest.raises(RewardError, match="write the function with `async def`"):
        asyncio.run(in_a_notebook())


def test_without_a_limit_a_function_is_called_where_the_caller_is() -> None:
    seen = []

    def where(completions, **columns):
        seen.append(threading.current_thread())
        return ones(completions)

    in_another_thread(lambda: (seen.append(threading.current_thread()), score(where, None)))
    assert seen[0] is seen[1]


def alarmed(completions, **columns):
    """As a reward with math_verify's time limits does."""
    import math_verify

    return [float(bool(math_verify.parse("$1$"))) for _ in completions]


def own_alarm(completions, **columns):
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(1)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    return ones(completions)


@pytest.mark.parametrize("function", [alarmed, own_alarm])
def test_a_function_that_sets_an_alarm_works_in_the_main_thread_and_elsewhere_says_why_not(
    function,
) -> None:
    assert score(function, timeout=60).rewards_BK.sum() == 4
    with pytest.raises(RewardError) as caught:
        in_another_thread(lambda: score(function, timeout=60))
    text = str(caught.value)
    assert "a session scores outside the main thread, where no alarm can be set" in text
    assert "workbench.rewards.answers_equal(given, gold)" in text
    assert "timeout_seconds=None" in text


def test_the_checker_that_is_offered_works_there() -> None:
    from workbench.rewards import answers_equal

    equal = lambda completions: [float(answers_equal(r"\frac{1}{2}", "1/2"))] * 4  # noqa: E731
    assert in_another_thread(lambda: score(equal, timeout=60)).rewards_BK.sum() == 4
