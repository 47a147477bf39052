"""The session as a state machine, and whose turn it is."""

from __future__ import annotations

import gc
import weakref

import pytest

from workbench.training.session.errors import StatusError
from workbench.training.session.status import TRANSITIONS, Status, StatusMachine
from workbench.training.session.turn import Turn


def test_every_status_has_its_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(Status)
    reached = {Status.READY}.union(*TRANSITIONS.values())
    assert reached == set(Status)


@pytest.mark.parametrize("first", Status)
def test_what_the_table_does_not_have_raises_and_changes_nothing(first: Status) -> None:
    for to in Status:
        machine = StatusMachine(first)
        if to in TRANSITIONS[first]:
            machine.move(to)
            assert machine.now is to
        else:
            with pytest.raises(StatusError, match=f"{first.value} cannot become {to.value}"):
                machine.move(to)
            assert machine.now is first


def test_a_move_from_elsewhere_is_not_made() -> None:
    machine = StatusMachine(Status.RUNNING)
    assert not machine.move_from((Status.READY, Status.PAUSED), Status.STOPPED)
    assert machine.now is Status.RUNNING
    machine.move(Status.PAUSED)
    assert not machine.move_from((Status.READY, Status.PAUSED), Status.PAUSED)
    assert machine.move_from((Status.READY, Status.PAUSED), Status.STOPPED)


class Model:
    """Stands for a model."""


class Participant:
    """Counts how often it was asked to rest."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.pauses = 0

    def pause(self) -> None:
        self.pauses += 1


def test_others_rest_before_one_works_and_only_users_of_a_model_before_it_is_used() -> None:
    turn = Turn()
    one = Participant(Model())
    two = Participant(Model())
    for participant in (one, two):
        turn.begins(participant)
    with turn.to_work(one):
        assert (one.pauses, two.pauses) == (0, 1)
    with turn.to_use(one.model):
        assert (one.pauses, two.pauses) == (1, 1)
    turn.ends(two)
    with turn.to_work(one):
        assert two.pauses == 1


def test_weights_change_hands_and_keep_no_model_alive() -> None:
    turn = Turn()
    model, mine, yours = Model(), object(), object()
    assert not turn.holds_weights_of_another(model, mine), "nobody has claimed them"
    turn.weights_belong_to(model, mine)
    assert not turn.holds_weights_of_another(model, mine)
    assert turn.holds_weights_of_another(model, yours)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None
