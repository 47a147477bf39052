"""Calls of a session while it is at work: each is carried out or refused in words, none is lost."""

from __future__ import annotations

import pytest

from workbench.training.session import SessionError
from workbench.training.session.requests import Requests


@pytest.mark.slow
def test_a_start_after_a_rewind_in_the_same_cell_is_carried_out(make_session) -> None:
    session = make_session().start().wait(60)
    weights_before = session.run.steps().loss.tolist()
    session.rewind(1)
    session.start()
    session.wait(60)
    assert (session.status, session.step_number) == ("finished", 8)
    assert session.run.steps().loss.tolist() == weights_before


def test_steps_that_are_asked_for_during_a_rewind_are_made(make_session) -> None:
    session = make_session().step(5).wait(60)
    session.rewind(2).step(2).wait(60)
    assert (session.status, session.step_number) == ("paused", 4)


def test_a_start_of_a_branch_that_catches_up_is_carried_out(make_session) -> None:
    session = make_session().step(5).wait(60)
    child = session.branch("child", from_step=4, beta=0.5).start().wait(60)
    assert (child.status, child.step_number) == ("finished", 8)
    assert child.run.knobs().new.tolist() == [0.5]


def test_steps_that_are_asked_for_one_after_another_add_up(make_session) -> None:
    session = make_session().step().step(2).wait(60)
    assert (session.status, session.step_number) == ("paused", 3)
    session.step().start().wait(60)
    assert session.status == "finished"


def test_a_start_after_a_pause_was_asked_for_goes_on(make_session) -> None:
    session = make_session().start()
    session.ask_to_rest()
    session.start().wait(60)
    assert (session.status, session.step_number) == ("finished", 8)


def test_a_pause_after_a_start_takes_it_back(make_session) -> None:
    session = make_session().start().wait(60)
    session.rewind(2)
    session.start()
    session.pause()
    assert session.status == "paused"
    assert session.step_number < 8


def test_steps_beyond_all_steps_are_refused(make_session) -> None:
    session = make_session(max_steps=200).start()
    with pytest.raises(SessionError, match=r"step\(n=1\): .*pause\(\) first"):
        session.step()
    session.pause()


def test_knobs_that_were_set_during_a_rewind_that_fails_are_for_the_next_step(
    make_session, monkeypatch
) -> None:
    session = make_session().step(3).wait(60)

    def fails(*args, **columns):
        session.set(beta=0.3)
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.session.branching.rewind", fails)
        session.rewind(1)
        with pytest.raises(SessionError, match="gone"):
            session.wait(60)
    assert session.pending == {"beta": 0.3}


def test_what_is_asked_for_after_the_last_look_is_not_taken() -> None:
    requests = Requests()
    assert not requests.add(1)
    requests.begin(reaches_the_end=False)
    assert requests.add(1)
    assert requests.take() == (1,)
    assert requests.take() is None
    assert not requests.add(None)
