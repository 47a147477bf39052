"""A session whose reward function does not return, or wants what only a main thread has: every call
of the session comes back."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest
from helpers import digits_reward, same_weights, weights_of

from workbench.rewards import RewardSet
from workbench.training.session import SessionError

BOUND = 20
"""Seconds that no call may take here; without a limit it would be for ever."""


class Hanging:
    """`digits_reward`, which waits in one of its calls until it is released."""

    def __init__(self, call: int) -> None:
        self.call = call
        self.calls = 0
        self.entered = threading.Event()
        self.released = threading.Event()

    def digits_reward(self, completions, **columns):
        self.calls += 1
        if self.calls == self.call:
            self.entered.set()
            self.released.wait()
        return digits_reward(completions)

    async def digits_reward_later(self, completions, **columns):
        self.calls += 1
        if self.calls == self.call:
            self.entered.set()
            while not self.released.is_set():
                await asyncio.sleep(0.01)
        return digits_reward(completions)


@pytest.fixture(params=["digits_reward", "digits_reward_later"])
def hanging(request):
    made = Hanging(call=3)
    made.reward = getattr(made, request.param)
    yield made
    made.released.set()


def start(make_session, hanging, out="run", **changes):
    """A session that hangs in the reward of its third step."""
    session = make_session(out, rewards=hanging.reward, **changes).start()
    assert hanging.entered.wait(60)
    return session


def timed(call) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


@pytest.mark.slow
def test_stop_now_breaks_the_reward_off_and_the_run_goes_on_as_if_nothing_had_been(
    make_session, hanging
) -> None:
    session = start(make_session, hanging)
    assert timed(lambda: session.stop(now=True)) < BOUND
    assert (session.status, session.step_number) == ("stopped", 2)
    hanging.released.set()
    session.resume().wait(60)
    plain = make_session("plain").start().wait(60)
    assert same_weights(weights_of(session.trainer), weights_of(plain.trainer))
    assert session.run.steps().loss.tolist() == plain.run.steps().loss.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("call", ["pause", "stop", "free"])
def test_the_calls_that_wait_for_the_step_come_back_at_the_limit(
    make_session, hanging, call
) -> None:
    session = start(make_session, hanging, reward_timeout=0.5)
    assert timed(getattr(session, call)) < BOUND
    assert session.step_number == 2
    assert session.status == ("freed" if call == "free" else "failed")
    assert "had not returned after 0.5 s (reward_timeout)" in session.run.events().text.iloc[-1]
    if call != "free":
        with pytest.raises(SessionError, match=f"function '{hanging.reward.__name__}' had not"):
            session.wait(60)


def test_the_memory_is_given_back_while_the_reward_still_hangs(make_session, hanging) -> None:
    session = start(make_session, hanging, reward_timeout=0.5)
    model = weakref.ref(session.trainer.policy.model)
    session.free()
    gc.collect()
    assert model() is None
    assert not hanging.released.is_set()


def test_a_second_session_can_start(make_session, hanging) -> None:
    first = start(make_session, hanging, reward_timeout=0.5)
    second = make_session("second")
    assert timed(second.start) < BOUND
    second.wait(60)
    assert (first.status, second.status) == ("failed", "finished")


@pytest.mark.slow
def test_what_the_reward_says_after_it_was_given_up_reaches_nothing(make_session, hanging) -> None:
    session = start(make_session, hanging, reward_timeout=0.5)
    with pytest.raises(SessionError, match="reward_timeout"):
        session.wait(60)
    before = weights_of(session.trainer)
    hanging.released.set()
    time.sleep(0.2)
    assert same_weights(weights_of(session.trainer), before)
    assert session.run.last_step() == 2
    session.resume().wait(60)
    assert hanging.calls == 9
    plain = make_session("plain").start().wait(60)
    assert same_weights(weights_of(session.trainer), weights_of(plain.trainer))


def test_the_limit_may_be_another_when_the_run_is_resumed(make_session, hanging) -> None:
    session = start(make_session, hanging, reward_timeout=0.5)
    with pytest.raises(SessionError, match="also when the run is resumed"):
        session.wait(60)
    session.free()
    hanging.released.set()
    again = make_session(rewards=hanging.reward, resume=True, reward_timeout=60.0)
    assert again.config.reward_timeout == 60
    assert again.start().wait(60).status == "finished"


def test_a_rewind_whose_reward_hangs_can_be_stopped(make_session) -> None:
    hanging = Hanging(call=6)
    session = make_session(rewards=hanging.digits_reward).step(5).wait(60)
    session.rewind(4)  # from the checkpoint of step 3: its step 4 is made again
    assert hanging.entered.wait(60)
    assert timed(lambda: session.stop(now=True)) < BOUND
    assert (session.status, session.step_number) == ("stopped", 3)
    hanging.released.set()


def test_a_reward_that_wants_an_alarm_says_why_it_stops_a_session(make_session) -> None:
    def checks(completions, **columns):
        import math_verify

        return [float(bool(math_verify.parse("$1$"))) for _ in completions]

    with pytest.raises(
        SessionError, match=r"outside the main thread.*answers_equal\(given, gold\)"
    ):
        make_session(rewards=checks).start().wait(60)


def test_a_reward_that_scores_nothing_stops_the_first_step(make_session) -> None:
    def silent(completions, **columns):
        return [None] * len(completions)

    session = make_session(rewards=RewardSet([silent]).functions).start()
    with pytest.raises(SessionError, match="'silent' returned None for all 16 completions"):
        session.wait(60)
    assert session.step_number == 0


def test_the_rewards_have_one_thread_which_ends_with_the_session(make_session) -> None:
    threads = []

    def where(completions, **columns):
        threads.append(threading.current_thread())
        return digits_reward(completions)

    session = make_session(rewards=where)
    # Also after a pause: a connection to a database may be used by the thread that made it alone.
    session.step(2).wait(60)
    session.step(1).wait(60)
    assert len(threads) == 3
    assert len(set(threads)) == 1
    session.free()
    gc.collect()
    threads[0].join(10)
    assert not threads[0].is_alive()


@pytest.mark.parametrize("call", ["pause", "stop"])
@pytest.mark.parametrize("later", [False, True])
def test_a_reward_may_rest_the_session_that_calls_it(make_session, call, later) -> None:
    def rests(completions, **columns):
        getattr(session, call)()
        return digits_reward(completions)

    async def rests_later(completions, **columns):
        await asyncio.sleep(0)
        return rests(completions)

    session = make_session(rewards=rests_later if later else rests)
    assert timed(lambda: session.start().wait(60)) < BOUND
    assert session.step_number == 1
    assert session.status == {"pause": "paused", "stop": "stopped"}[call]


@pytest.mark.parametrize("later", [False, True])
def test_a_reward_that_waits_for_its_own_session_is_told_and_the_caller_hears_of_it(
    make_session, later
) -> None:
    def digits(completions, **columns):
        session.wait()
        return digits_reward(completions)

    async def digits_later(completions, **columns):
        return digits(completions)

    reward = digits
    if later:
        reward = digits_later
    session = make_session(rewards=reward)
    began = time.monotonic()
    session.start()
    with pytest.raises(SessionError, match=r"wait\(\) was called by a reward .* from outside"):
        session.wait(60)
    assert time.monotonic() - began < BOUND
