"""The session: background steps, knobs at step boundaries, pause, error, rewind and branch with the
same numbers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from helpers import digits_reward, same_weights, weights_of

from workbench.config import ConfigError, GRPOConfig
from workbench.runs import Run
from workbench.training import checkpoints
from workbench.training.session import RewindError, Session, SessionError
from workbench.training.update import apply_gradient


def losses(session: Session) -> list[float]:
    return session.run.steps().loss.tolist()


def test_start_returns_at_once_and_wait_waits(make_session) -> None:
    session = make_session()
    began = time.monotonic()
    session.start()
    assert time.monotonic() - began < 0.5
    assert session.status == "running"
    session.wait(60)
    assert session.status == "finished"
    assert session.run.last_step() == 8
    assert session.run.meta.status == "finished"


def test_it_computes_what_the_trainer_computes(make_session, make_trainer) -> None:
    session = make_session().start().wait(60)
    trainer = make_trainer("plain", max_steps=8, eval_steps=4)
    trainer.train()
    assert same_weights(weights_of(session.trainer), weights_of(trainer))


def test_a_second_start_does_not_start_a_second_training(make_session) -> None:
    session = make_session()
    session.start()
    session.start()
    names = [t.name for t in threading.enumerate() if t.name.startswith("workbench ")]
    assert len(names) <= 1
    session.wait(60)
    assert session.run.steps().step.tolist() == list(range(1, 9))


def test_another_session_makes_the_first_pause(make_session) -> None:
    first, second = make_session("a", max_steps=200), make_session("b")
    first.start()
    second.start()
    assert first.status == "paused"
    second.wait(60)
    assert second.status == "finished"


def test_step_pause_and_resume(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    assert (session.status, session.step_number) == ("paused", 2)
    session.start()
    session.pause()
    assert session.status in ("paused", "finished")
    session.resume().wait(60)
    assert session.step_number == 8
    assert session.run.steps().step.tolist() == list(range(1, 9))


def test_a_knob_takes_effect_at_the_next_step_and_a_bad_one_changes_nothing(make_session) -> None:
    session = make_session()
    session.step().wait(60)
    session.set(beta=0.3)
    assert session.pending == {"beta": 0.3}
    assert session.config.beta == GRPOConfig().beta
    with pytest.raises(ConfigError, match="epsilon=5"):
        session.set(epsilon=5, beta=0.1)
    assert session.pending == {"beta": 0.3}
    session.step().wait(60)
    assert session.config.beta == 0.3
    knobs = session.run.knobs()
    assert [(r.step, r.name, r.old, r.new, r.who) for r in knobs.itertuples()] == [
        (2, "beta", GRPOConfig().beta, 0.3, "user")
    ]


def test_listeners_hear_of_every_step(make_session) -> None:
    session, heard = make_session(), []
    leave = session.subscribe(lambda: heard.append(session.step_number))
    session.start().wait(60)
    assert set(range(1, 9)) <= set(heard)
    leave()
    count = len(heard)
    session.extend(1)
    assert len(heard) == count


@pytest.mark.parametrize("target", [0, 2, 3, 5])
def test_rewind_and_replay_give_the_same_numbers(make_session, target: int) -> None:
    session = make_session()
    session.step(4).wait(60)
    session.set(beta=0.2, temperature=0.9)
    session.step(4).wait(60)
    before, weights = losses(session), weights_of(session.trainer)
    session.rewind(target).wait(60)
    assert session.step_number == target
    assert session.run.last_step() == target
    assert session.config.beta == (0.2 if target > 4 else GRPOConfig().beta)
    if target < 4:
        session.step(4 - target).wait(60)
    if target <= 4:
        session.set(beta=0.2, temperature=0.9)
    session.start().wait(60)
    assert losses(session) == before
    assert same_weights(weights_of(session.trainer), weights)


def test_rewinding_to_a_step_that_is_not_there(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    with pytest.raises(RewindError, match="step 5 .* 2 steps"):
        session.rewind(5)
    assert session.status == "paused"


def test_a_branch_is_a_new_run_that_knows_its_parent(make_session) -> None:
    session = make_session()
    session.step(5).wait(60)
    child = session.branch("child", from_step=4, beta=0.5).wait(60)
    assert child.run.meta.parent_id == session.run.meta.id
    assert child.run.meta.branch_step == 4
    assert losses(child) == losses(session)[:4]
    child.start().wait(60)
    knobs = child.run.knobs()
    assert [(r.step, r.name, r.new, r.who) for r in knobs.itertuples()] == [
        (5, "beta", 0.5, "branch")
    ]
    assert losses(child)[4] != losses(session)[4]
    assert session.run.last_step() == 5


def test_the_parent_goes_on_untouched_after_its_branch_trained(make_session) -> None:
    alone = make_session("alone").start().wait(60)
    session = make_session("parent")
    session.step(5).wait(60)
    session.branch("child", learning_rate=1e-2).wait(60).start().wait(60)
    session.resume().wait(60)
    assert losses(session) == losses(alone)
    assert same_weights(weights_of(session.trainer), weights_of(alone.trainer))


def test_a_branch_with_a_bad_knob_makes_nothing(make_session, tmp_path: Path) -> None:
    session = make_session()
    session.step(2).wait(60)
    with pytest.raises(ConfigError):
        session.branch("child", beta=-1)
    assert not (tmp_path / "child").exists()


def test_an_error_stops_the_session_is_shown_and_can_be_mended(make_session) -> None:
    trouble = {"at": 3}

    def fragile(completions, **columns) -> list[float]:
        if trouble["at"] == 0:
            raise KeyError("no gold here")
        trouble["at"] -= 1
        return digits_reward(completions)

    session = make_session(rewards=fragile)
    session.start()
    with pytest.raises(SessionError, match=r"step 3: RewardError.*no gold here"):
        session.wait(60)
    event = session.run.events().iloc[-1]
    assert event.kind == "error"
    assert "KeyError" in event.data["traceback"]
    trouble["at"] = 100
    session.resume().wait(60)
    assert session.run.steps().step.tolist() == list(range(1, 9))
    assert losses(session) == losses(make_session("sound").start().wait(60))


def test_the_error_is_raised_by_the_next_call_too(make_session) -> None:
    def broken(completions, **columns) -> list[float]:
        raise ZeroDivisionError("broken reward")

    session = make_session(rewards=broken)
    session.start()
    session._runner.worker.idle.wait(60)
    assert session.status == "failed"
    with pytest.raises(SessionError, match="broken reward"):
        session.start()


def test_stop_finishes_the_record_and_resume_goes_on(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    session.stop()
    assert (session.status, session.run.meta.status) == ("stopped", "stopped")
    session.resume().wait(60)
    assert session.run.meta.status == "finished"
    assert losses(session) == losses(make_session("alone").start().wait(60))


def test_extend_lets_a_finished_run_go_on(make_session) -> None:
    session = make_session(max_steps=2).start().wait(60)
    with pytest.raises(SessionError, match="finished"):
        session.start()
    session.extend(3)
    session.start().wait(60)
    assert session.run.last_step() == 5


def test_free_gives_the_model_back_and_keeps_the_record(make_session) -> None:
    import gc
    import weakref

    session = make_session()
    session.step(2).wait(60)
    model = weakref.ref(session.trainer.policy.model)
    session.free()
    gc.collect()
    assert model() is None
    assert session.status == "freed"
    assert len(session.run.steps()) == 2
    with pytest.raises(SessionError, match="freed"):
        session.start()


def test_the_same_folder_is_never_overwritten(make_session, tmp_path: Path) -> None:
    first = make_session()
    first.step().wait(60)
    second = make_session()
    assert second.out == tmp_path / "run-2"
    assert Run.open(tmp_path / "run").last_step() == 1


def test_a_new_session_goes_on_with_a_stored_run(make_session) -> None:
    session = make_session()
    session.step(4).wait(60)
    session.free()
    again = make_session(resume=True)
    assert again.step_number == 4
    again.start().wait(60)
    assert losses(again) == losses(make_session("alone").start().wait(60))


def test_an_interrupt_of_wait_pauses(make_session, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make_session(max_steps=500)
    session.start()

    waits: list[bool] = []

    def interrupted(done, timeout):
        waits.append(done.is_set())
        if len(waits) == 1:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr("workbench.training.session.session.pumped_wait", interrupted)
    session.wait()
    assert waits == [False, True]  # the second one only lets the last picture be drawn
    assert session.status == "paused"
    assert session.step_number in range(0, 500)


def test_branching_again_leaves_a_running_branch_alone(make_session) -> None:
    """Parent and branches share one model: taking it for a second branch must not change weights
    under the first."""
    alone, parent = make_session("a"), make_session("b")
    for session in (alone, parent):
        session.step(3).wait(60)
    plain = alone.branch("plain", learning_rate=5e-3).wait(60).start().wait(60)
    first = parent.branch("first", learning_rate=5e-3).wait(60).start()
    second = parent.branch("second", beta=0.5).wait(60)
    assert first.status in ("paused", "finished")
    first.start().wait(60)
    assert losses(first) == losses(plain)
    assert losses(second) == losses(parent)


def test_a_new_session_on_a_model_in_use_makes_its_user_pause(make_session) -> None:
    first = make_session("a", max_steps=500).start()
    second = Session(
        first.trainer.policy,
        first.trainer.task,
        first.trainer.rewards,
        first.config,
        out=first.out.with_name("b"),
    )
    assert first.status == "paused"
    assert second.step_number == 0


def test_a_branch_with_a_fixed_field_makes_nothing(make_session, tmp_path: Path) -> None:
    session = make_session()
    session.step(1).wait(60)
    with pytest.raises(ConfigError, match="num_generations is fixed"):
        session.branch("child", num_generations=8)
    assert not (tmp_path / "child").exists()


def test_the_knobs_of_a_branch_survive_the_process(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    session.branch("child", beta=0.5).wait(60).free()
    again = make_session("child", resume=True)
    assert again.pending == {"beta": 0.5}


def test_an_extension_survives_that_another_session_took_the_model(make_session) -> None:
    parent = make_session(max_steps=3).start().wait(60)
    child = parent.branch("child", from_step=2).wait(60)
    parent.extend(2)
    child.start().wait(60)
    parent.start().wait(60)
    assert (parent.step_number, parent.config.max_steps, child.step_number) == (5, 5, 3)


def test_a_listener_that_fails_does_not_hang_or_stop_the_training(make_session) -> None:
    session = make_session()

    def broken() -> None:
        raise ZeroDivisionError("view is gone")

    session.subscribe(broken)
    with pytest.warns(UserWarning, match="listener .*ZeroDivisionError: view is gone"):
        session.start().wait(60)
    assert session.status == "finished"


def test_a_listener_may_pause_the_session(make_session) -> None:
    session = make_session(max_steps=50)
    session.subscribe(lambda: session.pause() if session.step_number == 2 else None)
    session.start().wait(60)
    assert (session.status, session.step_number) == ("paused", 2)


def test_stop_now_breaks_off_a_rollout_and_nothing_after_it(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, inside = make_session(), threading.Event()
    session.step(2).wait(60)
    plain = session.trainer.engine.generate

    def slow(*args, **options):
        inside.set()
        while not session.trainer._cancelled.is_set():
            time.sleep(0.01)
        return plain(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(session.trainer.engine, "generate", slow)
        session.start()
        assert inside.wait(60)
        session.stop(now=True)
    assert (session.status, session.step_number, session.run.meta.status) == (
        "stopped",
        2,
        "stopped",
    )
    session.stop(now=True)
    session.rewind(1).wait(60)
    session.start().wait(60)
    assert losses(session) == losses(make_session("alone").start().wait(60))


def test_a_rewind_that_fails_leaves_no_checkpoint_of_the_old_future(
    make_session, tmp_path: Path
) -> None:
    trouble = {"on": False}

    def fragile(completions, **columns) -> list[float]:
        if trouble["on"]:
            raise KeyError("gone")
        return digits_reward(completions)

    session = make_session(rewards=fragile).start().wait(60)
    before = losses(session)
    trouble["on"] = True
    session.rewind(7)
    with pytest.raises(SessionError, match="gone"):
        session.wait(60)
    assert max(checkpoints.steps_in(tmp_path / "run/checkpoints")) == session.run.last_step() == 6
    trouble["on"] = False
    session.free()
    again = make_session(rewards=fragile, resume=True).start().wait(60)
    assert losses(again) == before


def test_a_knob_of_a_step_broken_off_after_an_update_is_asked_for_again(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, calls = make_session(save_steps=100), []
    session.step(2).wait(60)
    session.step(1).wait(60)
    session.set(beta=0.4)

    def bad(*args):
        calls.append(1)
        if len(calls) == 2:
            raise FloatingPointError("bad update")
        return apply_gradient(*args)

    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.trainer.apply_gradient", bad)
        session.start()
        with pytest.raises(SessionError, match="bad update"):
            session.wait(60)
    assert (session.step_number, session.config.beta) == (3, GRPOConfig().beta)
    assert session.pending == {"beta": 0.4}
    session.step(1).wait(60)
    assert session.config.beta == 0.4


def test_stopping_a_rewind_at_once_rests_at_a_whole_step(make_session) -> None:
    asked = {"stop": False}

    def stopping(completions, **columns) -> list[float]:
        if asked.pop("stop", False):
            session.stop(now=True)
        return digits_reward(completions)

    session = make_session(rewards=stopping)
    session.start().wait(60)
    before = losses(session)
    asked["stop"] = True
    session.rewind(5).wait(60)  # from the checkpoint of step 0: those of 6 and 8 are kept
    assert (session.status, session.step_number, session.run.last_step()) == ("stopped", 1, 1)
    assert losses(session.start().wait(60)) == before


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "/tmp/x", "a\\b", "x" * 300, "a\0b", "\u202ebad"]
)
def test_a_branch_stays_beside_its_parent(make_session, tmp_path: Path, name: str) -> None:
    session = make_session()
    session.step(1).wait(60)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RewindError, match="folder beside"):
        session.branch(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_branches_of_one_name_are_told_apart(make_session) -> None:
    session = make_session()
    session.step(1).wait(60)
    names = [session.branch("way").wait(60).run.meta.name for _ in range(2)]
    assert names == ["way", "way-2"]


def test_a_knob_set_while_going_back_is_for_the_next_new_step(make_session) -> None:
    session = make_session().start().wait(60)
    heard: list[str] = []

    def ask() -> None:
        if session.activity.startswith("going back") and session.step_number == 1 and not heard:
            heard.append("asked")
            session.set(beta=0.3)

    session.subscribe(ask)
    session.rewind(3).wait(60)
    assert heard == ["asked"]
    assert session.pending == {"beta": 0.3}
    session.step(1).wait(60)
    assert [(r.step, r.name, r.new) for r in session.run.knobs().itertuples()] == [(4, "beta", 0.3)]


def test_stopping_a_rewind_rests_at_the_step_in_hand(make_session) -> None:
    session = make_session().start().wait(60)
    before = losses(session)
    session.subscribe(
        lambda: (
            session.ask_to_rest("stopped")
            if session.activity.startswith("going back") and session.step_number == 2
            else None
        )
    )
    session.rewind(5).wait(60)
    assert (session.status, session.step_number) == ("stopped", 2)
    assert losses(session.start().wait(60)) == before


def test_a_freed_session_stays_freed_when_its_error_is_raised_afterwards(make_session) -> None:
    def broken(completions, **columns) -> list[float]:
        raise ZeroDivisionError("broken reward")

    session = make_session(rewards=broken).start()
    session._runner.worker.wait()
    session.free()
    with pytest.raises(SessionError, match="broken reward"):
        session.wait(60)
    assert session.status == "freed"


def test_a_listener_cannot_free_the_session_in_the_middle_of_a_step(make_session) -> None:
    session = make_session()
    session.subscribe(lambda: session.free() if session.step_number == 2 else None)
    with pytest.warns(UserWarning, match="free: the session is still busy"):
        session.start().wait(60)
    assert session.trainer is not None
    assert session.run.steps().step.tolist() == [1, 2]
    assert session.resume().wait(60).status == "finished"


def test_an_error_that_was_read_elsewhere_does_not_stand_in_the_way(make_session) -> None:
    trouble = {"on": True}

    def fragile(completions, **columns) -> list[float]:
        if trouble.pop("on", False):
            raise KeyError("gone")
        return digits_reward(completions)

    session = make_session(rewards=fragile).start()
    session._runner.worker.wait()
    assert (session.status, type(session.error).__name__) == ("failed", "RewardError")
    session.dismiss_error()
    assert (session.status, session.error) == ("paused", None)
    assert session.start().wait(60).status == "finished"


def test_a_status_is_a_plain_word(make_session) -> None:
    assert repr(make_session().status) == "'ready'"
