"""The control strip and the dashboard of a live session under attack: what a person clicks, in any
order, from any thread."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import digits_reward

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training.session import Session, SessionError
from workbench.training.session.pump import PUBLISHERS
from workbench.widgets import Dashboard
from workbench.widgets.controls.inside_step import speed_words

SMALL = dict(
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=2,
    lr_scheduler_type="constant",
    max_completion_length=8,
    max_steps=6,
    eval_steps=0,
    save_steps=2,
    num_eval_problems=4,
    learning_rate=1e-3,
)


@pytest.fixture
def make_session(tiny_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Session]]:
    made: list[Session] = []

    def make(out: str = "run", *, rewards: Callable = digits_reward, **changes) -> Session:
        config = GRPOConfig(**(SMALL | changes))
        made.append(
            Session(
                load_policy(tiny_folder),
                arithmetic_task(0, 64, 16),
                RewardSet(rewards),
                config,
                out=tmp_path / "runs" / out,
            )
        )
        return made[-1]

    yield make
    for session in made:
        session.pause()


@pytest.fixture(autouse=True)
def _close_dashboards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made: weakref.WeakSet[Dashboard] = weakref.WeakSet()
    init = Dashboard.__init__
    monkeypatch.setattr(
        Dashboard,
        "__init__",
        lambda self, *given, **named: (init(self, *given, **named), made.add(self))[0],
    )
    yield
    for dashboard in list(made):
        dashboard.close()


def words(html: str) -> str:
    return re.sub("<style>.*?</style>|<[^>]+>", "", html, flags=re.DOTALL).strip()


def at_bar(dashboard: Dashboard) -> str:
    """How far the run is, by the bar."""
    dashboard.redraw()
    return words(dashboard.controls.status.value)


def headline(dashboard: Dashboard) -> str:
    dashboard.redraw()
    return words(dashboard.views[0].header.value)


def until(condition: Callable[[], object], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


def click(dashboard: Dashboard, *names: str) -> None:
    for name in names:
        dashboard.controls.refresh()
        assert not dashboard.controls.buttons[name].disabled, f"{name} cannot be clicked"
        dashboard.controls.buttons[name].click()


class Gate:
    """A reward function that waits until it is let go, to hold a step in hand."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.__name__ = "gate"

    def __call__(self, completions, **columns) -> list[float]:
        assert self.open.wait(30)
        return digits_reward(completions)


# ---------------------------------------------------------- what is said


def test_the_headline_has_the_word_of_the_session_and_its_plan(make_session) -> None:
    session = make_session()
    dashboard = Dashboard(session)
    assert "Recorded earlier" in words(dashboard.preview.note.value)
    assert "ready" in words(dashboard.controls.status.value)
    session.step(2).wait(60)
    assert "paused at step 2 of 6" in headline(dashboard)
    session.extend(3)
    assert "paused at step 2 of 9" in headline(dashboard)
    session.stop()
    assert "stopped at step 2 of 9: stopped by the user" in headline(dashboard)
    session.start().wait(60)
    assert "finished at step 9 of 9" in headline(dashboard)
    session.free()
    assert "finished at step 9" in headline(dashboard)


def test_a_first_step_that_fails_is_told_until_it_trains_again(make_session) -> None:
    faults = ["<b>no</b> scores"]

    def sometimes(completions, **columns):
        if faults:
            raise ValueError(faults[0])
        return digits_reward(completions)

    session = make_session(rewards=sometimes)
    dashboard = Dashboard(session)
    click(dashboard, "start")
    assert until(lambda: session.status == "failed")
    assert "failed at step 0 of 6: " in headline(dashboard)
    assert "&lt;b&gt;no&lt;/b&gt; scores" in dashboard.controls.message.value
    with pytest.raises(SessionError, match="no scores|no</b> scores"):
        session.wait(5)
    dashboard.redraw()
    assert "training stopped: " in words(dashboard.controls.message.value), (
        "who waits took the error, the strip still tells it"
    )
    faults.clear()
    session.start()
    assert until(lambda: session.step_number >= 1)
    dashboard.redraw()
    assert words(dashboard.controls.message.value) == ""
    session.wait(60)


def test_a_click_that_waits_for_the_step_in_hand_is_answered_at_once(make_session) -> None:
    gate = Gate()
    session = make_session(rewards=gate)
    dashboard = Dashboard(session)
    click(dashboard, "start", "stop")
    said = words(dashboard.controls.status.value)
    assert said.partition(" · ")[0] == "stopping, step 1 of 6"
    gate.open.set()
    session.wait(60)
    assert at_bar(dashboard) == "stopped, step 1 of 6"


def test_a_glance_survives_a_session_that_is_freed_in_the_middle_of_it(
    make_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session()
    dashboard = Dashboard(session)
    assert dashboard.controls is not None
    dashboard.controls.inside.seen = True
    trainer, asked = session.trainer, []

    def freed_after_the_first_look(self: Session) -> object:
        asked.append(1)
        return trainer if len(asked) == 1 else None

    with monkeypatch.context() as patched:
        patched.setattr(Session, "trainer", property(freed_after_the_first_look))
        dashboard.controls.glance()
    assert asked
    dashboard.close()


def test_the_bar_counts_the_step_in_hand_and_its_rollout(make_session) -> None:
    gate = Gate()
    session = make_session(rewards=gate)
    in_hand = session.trainer.in_hand
    seen: list[int] = []
    looked = in_hand.looked
    session.trainer.engine.on_look = lambda look: (looked(look), seen.append(look.wanted))[0]
    dashboard = Dashboard(session)
    line = dashboard.controls.inside
    assert (line.phase, line.counted, line.seconds, line.speed) == ("", [], {}, "")
    assert at_bar(dashboard) == "ready, 6 steps to go"
    click(dashboard, "start")
    assert until(lambda: line.phase == "reward"), "without a change of the record"
    assert at_bar(dashboard) == "training, step 1 of 6"
    assert line.counted == [], "scoring: the rollout is over"
    assert set(seen) == {16}
    assert line.newest, "the last completion of the rollout"
    in_hand.rollout = (7, 16)
    dashboard.glance()
    assert line.counted == [7, 16]
    assert '--wb-in-hand:0.0729"' in dashboard.controls.status.value, "7/16 of a sixth"
    in_hand.rollout = None
    gate.open.set()
    session.wait(60)
    assert at_bar(dashboard) == "finished, step 6 of 6"
    assert line.phase == ""
    assert list(line.seconds) == ["rollout", "reward", "logprobs", "update"]
    last = session.run.steps().iloc[-1]
    assert line.speed == speed_words(
        {"tokens": last["tokens"], "seconds/step": last["seconds/step"]}
    )
    assert f"step 6: {last['tokens']:,.0f} sampled tokens" in line.about


def test_the_newest_completion_is_shown_inert_and_only_while_a_page_shows_it(make_session) -> None:
    session = make_session()
    dashboard = Dashboard(session)
    line, in_hand = dashboard.controls.inside, session.trainer.in_hand
    session._runner.activity = "training"
    in_hand.sampled(["first", "<img src=x>\n\u202eright " + "to left" * 99])
    in_hand.enter("update")
    assert until(lambda: line.phase == "update")
    assert line.newest.startswith("…")
    assert line.newest.endswith("to leftto left")
    assert len(line.newest) <= 200
    in_hand.sampled(["<img src=x>\n\u202eright"])
    dashboard.glance()
    assert line.newest == "<img src=x> U+202Eright", "as text: the page sets it as text"
    line.seen = False
    in_hand.sampled(["unseen"])
    dashboard.glance()
    assert line.newest.startswith("<img"), "nobody looks"
    line.seen = True
    assert line.newest == "unseen", "at once when a page shows it again"
    session._runner.activity = ""


def test_it_says_what_the_interrupt_button_does(make_session) -> None:
    knobs = Dashboard(make_session()).controls.knobs
    knobs.all.value = True
    assert "only while a cell waits" in words(knobs.about.value)
    assert knobs.about in knobs.drawer.children


# ----------------------------------------------------------------- knobs


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_refused_value_leaves_the_box_again(make_session, value: float) -> None:
    session = make_session()
    controls = Dashboard(session).controls
    row = controls.rows["learning_rate"]
    row.box.value = value
    assert "ConfigError: learning_rate=" in words(controls.message.value)
    assert (row.box.value, session.pending) == (1e-3, {})
    assert 1e-7 <= row.slider.value <= 1e-1
    row.box.value = 1e-2
    row.box.value = value
    assert (row.box.value, session.pending) == (1e-2, {"learning_rate": 1e-2}), (
        "what was asked for before stays, and is shown"
    )
    assert "0.001 &rarr; <b>0.01</b>" in row.state.value
    assert "ConfigError" in words(controls.message.value)
    session.set(learning_rate=3e-3)
    controls.refresh()
    assert controls.message.value == "", "the value is right again: the error is over"
    row.box.value = 1e-3
    assert row.state.value == "", "asked back: nothing will change"


def test_a_knob_set_in_code_or_by_another_dashboard_is_shown(make_session) -> None:
    session = make_session()
    first, second = Dashboard(session), Dashboard(session)
    second.controls.rows["beta"].box.value = 0.5
    first.controls.refresh()
    assert first.controls.rows["beta"].box.value == 0.5
    session.set(beta=0.25)
    first.controls.refresh()
    assert first.controls.rows["beta"].box.value == 0.25


def test_one_button_takes_all_knobs_back_to_where_the_run_began(make_session) -> None:
    session = make_session()
    controls = Dashboard(session).controls
    assert set(controls.rows) == {"beta", "epsilon", "learning_rate", "temperature"}
    controls.knobs.all.value = True
    assert {"delta", "max_grad_norm", "loss_type"} < set(controls.rows)
    controls.rows["beta"].box.value = 0.5
    controls.rows["delta"].off.value = False
    session.step().wait(60)
    controls.refresh()
    controls.knobs.reset.click()
    assert session.pending == {"beta": session.run.config["beta"], "delta": None}
    assert controls.rows["delta"].off.value, "the drawer's rows follow"


def test_branch_and_rewind_take_the_step_shown(make_session) -> None:
    session = make_session()
    dashboard = Dashboard(session)
    controls = dashboard.controls
    session.step(3).wait(60)
    dashboard.redraw()
    assert controls.buttons["rewind"].description == "Rewind"
    click(dashboard, "rewind")
    assert "Rewind did nothing: step 3 is where the run stands" in words(controls.message.value)
    assert session.step_number == 3
    dashboard.show_step(2)
    assert controls.buttons["branch"].description == "Branch at 2"
    click(dashboard, "branch")
    child = dashboard.session
    child.wait(60)
    assert (child.step_number, session.step_number) == (2, 3)
    assert dashboard.shown_step is None, "the branch goes on from there, and is followed"
    child.step().wait(60)
    dashboard.redraw()
    dashboard.show_step(1)
    assert controls.buttons["rewind"].description == "Rewind to 1"
    click(dashboard, "rewind")
    child.wait(60)
    assert child.step_number == 1
    assert controls.message.value == ""
    assert dashboard.shown_step is None


# --------------------------------------------------- sequences of clicks


def test_clicks_in_every_order_leave_a_session_that_trains(make_session) -> None:
    session = make_session(max_steps=12)
    dashboard = Dashboard(session)
    controls = dashboard.controls
    click(dashboard, "start", "rewind")
    assert until(lambda: session.status != "running")
    click(dashboard, "step")
    session.wait(60)
    dashboard.redraw()
    dashboard.show_step(1)  # no checkpoint there
    click(dashboard, "rewind")
    session.wait(60)
    assert (session.status, session.step_number) == ("paused", 1)
    click(dashboard, "start", "branch")  # while it runs, to a name of its own
    child = dashboard.session
    assert child is not session
    child.wait(60)
    assert (session.status, child.status, child.step_number) == ("paused", "paused", 1)
    click(dashboard, "branch")  # the same name again
    second = dashboard.session
    second.wait(60)
    assert second.out not in (child.out, session.out)
    dashboard.replay.button.value = True
    click(dashboard, "start", "stop")
    second.wait(60)
    dashboard.replay.stop()
    click(dashboard, "start")
    second.wait(60)
    assert (second.status, second.step_number) == ("finished", 12)
    controls.refresh()
    click(dashboard, "start")
    assert "the run is finished" in words(controls.message.value)
    assert [s.label for s in dashboard.sources[1:]][-1] == "run"
    assert words(dashboard.error.value) == ""


def test_sessions_in_a_list_are_all_followed(make_session) -> None:
    one, two = make_session("one"), make_session("two")
    dashboard = Dashboard([one, two])
    two.start().wait(60)
    assert until(lambda: "two: finished at step 6" in words(dashboard.views[0].header.value)), (
        "nobody but the publisher draws here"
    )


def test_a_parent_is_followed_still_when_a_branch_is_in_focus(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    dashboard = Dashboard(session)
    click(dashboard, "branch")
    dashboard.session.wait(60)
    session.start().wait(60)
    assert until(lambda: "run: finished at step 6" in words(dashboard.views[0].header.value))


def test_a_freed_session_is_shown_as_its_record(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    live = Dashboard(session)
    session.set(epsilon=0.3)
    session.free()
    live.redraw()
    buttons = dict(live.controls.buttons)
    assert not buttons.pop("load").disabled
    assert all(button.disabled for button in buttons.values())
    row = live.controls.rows["beta"]
    assert all(control.disabled for control in row.inputs)
    waiting = live.controls.rows["epsilon"]
    assert (waiting.box.value, waiting.state.value) == (0.2, ""), "nothing waits for a step"
    assert "gave its memory back" in words(live.controls.message.value)
    assert at_bar(live) == "freed, step 2 of 6"
    row.box.value = 0.5
    assert "was freed" in words(live.controls.message.value)
    stored = Dashboard(session)
    assert stored.controls is None
    assert "at step 2" in headline(stored)


def test_a_freed_session_is_loaded_again_by_its_button(make_session) -> None:
    session = make_session()
    session.step(2).wait(60)
    dashboard = Dashboard(session)
    with pytest.raises(SessionError, match="holds its policy still"):
        session.reopen()
    session.free()
    dashboard.redraw()
    click(dashboard, "load")
    assert until(lambda: dashboard.session is not session), words(dashboard.controls.message.value)
    again = dashboard.session
    assert until(lambda: dashboard.controls.buttons["load"].layout.display == "none")
    assert (again.out, again.step_number, again.status) == (session.out, 2, "ready")
    assert [source.label for source in dashboard.sources] == ["run"]
    assert not any(control.disabled for control in dashboard.controls.rows["beta"].inputs)
    click(dashboard, "step")
    again.wait(60)
    assert (again.step_number, dashboard.controls.message.value) == (3, "")


def test_a_record_that_is_gone_stops_no_one_from_steering(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session()
    dashboard = Dashboard(session)
    session.step(2).wait(60)
    with monkeypatch.context() as patched:
        patched.setattr(dashboard.sources[0], "refresh", lambda: 1 / 0)
        dashboard.redraw()
        assert "ZeroDivisionError" in words(dashboard.error.value)
        assert words(dashboard.controls.status.value) == "paused, step 2 of 6"
    assert "step 2 of 6" in headline(dashboard)
    assert dashboard.error.value == ""


# -------------------------------------------- several dashboards, closing


def test_the_newest_dashboard_of_a_session_draws_and_the_older_one_offers_to(make_session) -> None:
    session, others = make_session(), set(threading.enumerate())
    old = Dashboard(session)
    new = Dashboard(session)
    assert old.publisher.resting
    assert (old.still.layout.display, old.controls.widget.layout.display) == (None, "none")
    assert new.still.layout.display == "none"
    assert until(
        lambda: (
            sum(t.name == "workbench publisher" for t in set(threading.enumerate()) - others) == 1
        ),
        5,
    )
    session.step().wait(60)
    assert until(lambda: "step 1 of 6" in words(new.views[0].header.value))
    assert "step 1 of 6" not in words(old.views[0].header.value)
    old.still.children[1].click()
    assert until(lambda: "step 1 of 6" in words(old.views[0].header.value))
    assert (old.still.layout.display, old.controls.widget.layout.display) == ("none", None)
    assert not new.publisher.resting, "asked for both: both draw"


def test_another_session_or_a_stored_run_takes_nothing_over(make_session) -> None:
    one, two = make_session("one"), make_session("two")
    first = Dashboard(one)
    for other in (two, one.run, [two, one]):
        Dashboard(other)
        assert not first.publisher.resting


def test_close_gives_everything_back(make_session, monkeypatch: pytest.MonkeyPatch) -> None:
    session, heard = make_session(), []
    subscribe, publishers = session.subscribe, list(PUBLISHERS)

    def counted(listener: Callable[[], None]) -> Callable[[], None]:
        heard.append(listener)
        leave = subscribe(listener)
        return lambda: (leave(), heard.remove(listener))[0]

    monkeypatch.setattr(session, "subscribe", counted)
    threads = threading.active_count()
    dashboard = Dashboard(session)
    assert heard
    plots, box = dashboard.views[0].plots, dashboard.controls.rows["beta"].box
    dashboard.replay.button.value = True
    dashboard.close()
    dashboard.close()
    assert until(lambda: threading.active_count() <= threads, 5)
    assert (heard, PUBLISHERS) == ([], publishers)
    assert plots.comm is None
    assert box.comm is None
    session.step().wait(60)
    gone = weakref.ref(dashboard)
    del dashboard, plots, box
    assert until(lambda: gc.collect() >= 0 and gone() is None, 5), (
        "something still holds the dashboard"
    )


def test_closing_while_it_draws_and_trains_harms_nothing(make_session) -> None:
    session = make_session(max_steps=20)
    session.start()
    for _ in range(3):
        dashboard = Dashboard(session)
        dashboard.replay.button.value = True
        assert until(lambda d=dashboard: d.sources[0].last_step > 0 or session.status != "running")
        dashboard.close()
        assert dashboard.error.value == ""
    session.wait(60)
    assert session.status == "finished"
