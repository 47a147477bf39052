"""The timeline: its marks, means before and after with values computed by hand, and its ties to the
step that all pages share."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from made_runs import evaluation_of, growing_run, make_run

from workbench.doctor import Finding
from workbench.doctor.finding import Curve
from workbench.widgets import Dashboard
from workbench.widgets.base import diagnoses
from workbench.widgets.base.source import RunSource
from workbench.widgets.timeline import part
from workbench.widgets.timeline.before_after import Change, Side, change_at
from workbench.widgets.timeline.details import changes_in_words, details_html
from workbench.widgets.timeline.marks import KINDS, Mark, marks_of, spans_of
from workbench.widgets.timeline.timeline import Timeline

HOSTILE = '<img src=x onerror="alert(1)">\u202e'


def values(*given: float) -> np.ndarray:
    return np.array(given, float)


# ------------------------------------------------------- before and after


def test_means_and_spreads_by_hand() -> None:
    # Before: 1, 2, 3 (mean 2, deviations 1, 0, 1, sum of squares 2, over n - 1 = 2: spread 1).
    # After: 4, 8 (mean 6, deviations 2 and 2, sum of squares 8, over 1: spread the root of 8).
    change = change_at(np.arange(1, 6), values(1, 2, 3, 4, 8), first=4)
    assert (change.before.mean, change.before.spread, change.before.count) == (2, 1, 3)
    assert (change.after.mean, change.after.count) == (6, 2)
    assert change.after.spread == pytest.approx(math.sqrt(8))


def test_a_side_has_eight_steps_and_none_that_is_missing() -> None:
    steps = np.arange(1, 31)
    given = np.where(steps < 15, 1.0, 2.0)
    given[13] = np.nan  # step 14
    given[3] = 50.0  # step 4, farther away
    change = change_at(steps, given, first=15)
    assert (change.before.mean, change.before.count) == (1, 7)
    assert (change.after.mean, change.after.count) == (2, 8)


def test_a_window_ends_at_another_knob_change() -> None:
    steps = np.arange(1, 21)
    change = change_at(steps, steps.astype(float), first=10, walls=[8, 10, 13])
    # Steps 8 and 9, and 10, 11, 12.
    assert (change.before.mean, change.before.count) == (8.5, 2)
    assert (change.after.mean, change.after.count) == (11, 3)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            Side(1.2, 0.08, 8),
            Side(1.52, 0.06, 8),
            "reward 1.20 ± 0.08 → 1.52 ± 0.06 (8 steps each side)",
        ),
        (
            Side(1.2, 0.08, 5),
            Side(1.5, 0.121, 8),
            "reward 1.20 ± 0.08 → 1.50 ± 0.12 (5 steps before, 8 after)",
        ),
        (Side(2, math.nan, 1), Side(3, math.nan, 1), "reward 2.00 → 3.00 (1 step each side)"),
        (
            Side(2.5, 0.5, 8),
            Side(math.nan, math.nan, 0),
            "reward 2.5 ± 0.5 → no step yet (8 steps before, 0 after)",
        ),
        (Side(0, 0, 8), Side(0.5, 0.25, 8), "reward 0 → 0.50 ± 0.25 (8 steps each side)"),
        (Side(250, 31, 8), Side(300, 45, 8), "reward 250 ± 31 → 300 ± 45 (8 steps each side)"),
    ],
)
def test_it_is_said_in_words(before: Side, after: Side, said: str) -> None:
    assert part_words(before, after) == said


def part_words(before: Side, after: Side) -> str:
    return Change(before, after).words("reward")


def test_shares_are_said_in_percent() -> None:
    change = Change(Side(0.25, 0.05, 8), Side(0.5, 0.04, 8))
    said = change.words("dead groups", percent=True, with_steps=False)
    assert said == "dead groups 25 ± 5 % → 50 ± 4 %"


# ------------------------------------------------------------------ marks


def made(tmp_path: Path, **how: object) -> RunSource:
    given = {"steps": 30, "knobs": {10: {"beta": 0.05}}} | how
    return RunSource(make_run(tmp_path / "run", **given))


def test_knobs_evaluations_checkpoints_branch_and_findings_are_marks(tmp_path: Path) -> None:
    source = made(tmp_path)
    for step in (0, 20, 40):  # the last one is of a future that was cut off
        (source.run.path.parent / f"checkpoints/step-{step:06d}").mkdir(parents=True)
    findings = [
        Finding("a", "problem", "It is sick.", "kl 3", curve=Curve("kl", 21, 30)),
        Finding("b", "problem", "So is this.", "reward 0", curve=Curve("reward", 21, 30)),
        Finding("c", "warning", "It may be.", "it is no curve's"),
        Finding("d", "note", "Good to know.", "kl 1", curve=Curve("kl", 3, 3)),
    ]
    marks = marks_of(source, findings)
    assert [(m.kind, m.step, m.after) for m in marks] == [
        ("evaluation", 0, 0),
        ("checkpoint", 0, 1),
        ("knob", 10, 10),
        ("evaluation", 10, 10),
        ("evaluation", 20, 20),
        ("checkpoint", 20, 21),
        ("problem", 21, 21),
        ("evaluation", 30, 30),
        ("warning", 30, 30),
    ]
    texts = {m.key: m.text for m in marks}
    assert texts["knob@10"] == "beta 0.15→0.05"
    assert texts["problem@21"] == "It is sick. So is this."
    assert texts["evaluation@30"].startswith("held-out 70.0 % [63 to 76]")


def test_a_branch_is_marked_where_it_left_its_parent() -> None:
    from workbench.course.recorded import recorded

    source = RunSource(recorded("branch"))
    (mark,) = [m for m in marks_of(source) if m.kind == "branch"]
    assert (mark.step, mark.after, mark.text) == (60, 61, "branched from long after step 60")


def test_runs_beside_it_are_marked_where_they_branched_off() -> None:
    from workbench.course.recorded import recorded

    parent, child = (RunSource(recorded(name)) for name in ("long", "branch"))
    (mark,) = [m for m in marks_of(parent, others=[child]) if m.kind == "branch"]
    assert (mark.step, mark.text) == (60, "branch branched off after step 60")
    assert not [m for m in marks_of(parent, others=[parent]) if m.kind == "branch"]


def test_two_splits_of_one_step_are_one_mark(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run", evaluations={})
    growing.add(2)
    for split in ("held_out", "other"):
        growing.writer.write_evaluation(2, evaluation_of(1, 2, step=2, split=split))
    growing.end()
    (mark,) = marks_of(RunSource(growing.run))
    assert mark.text.startswith("held-out 50.0 % [")
    assert "; other 50.0 % [" in mark.text


def test_every_kind_has_a_shape_and_a_place_on_the_page() -> None:
    for table in ("LANES", "SHAPES", "URGENT"):
        text = Timeline._esm.partition(f"const {table} = ")[2].partition(";")[0]
        missing = [kind for kind in KINDS if kind not in text]
        assert missing == [], table


def test_stretches_of_kept_steps() -> None:
    assert spans_of([1, 2, 3, 7, 9, 10]) == [[1, 3], [7, 7], [9, 10]]
    assert spans_of([]) == []


def test_foreign_text_is_inert(tmp_path: Path) -> None:
    source = made(tmp_path, knobs={10: {HOSTILE: HOSTILE}})
    marks = marks_of(source, [Finding("a", "problem", HOSTILE, "")])
    shown = details_html(source, marks, marks)
    assert "<img" not in shown
    assert "\u202e" not in shown + str([m.packed() for m in marks])


def test_the_detail_says_what_changed(tmp_path: Path) -> None:
    source = made(tmp_path, metrics={"reward": lambda step: 1.0 if step < 10 else 3.0, "kl": None})
    marks = marks_of(source)
    said = changes_in_words(source, 10, marks)
    assert said[0] == "reward 1.00 ± 0.00 → 3.00 ± 0.00 (8 steps each side)"
    assert not any(one.startswith("KL") for one in said)
    assert said[-1].startswith("held-out 30.0 % [24 to 37] at step 0 → 43.5 % [")
    assert "(8 steps" not in said[1], "over how many steps is said once"


# -------------------------------------------------------- in the dashboard


def until(condition, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_the_cursor_is_the_step_of_all_pages(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run")
    growing.add(12)
    dashboard = Dashboard(growing.run)
    line = dashboard.timeline.timeline
    assert (line.last, line.cursor, line.following, line.live) == (12, 12, True, False)
    line.cursor = 5  # as the page does
    assert (dashboard.shown_step, line.following) == (5, False)
    dashboard.show_step(7)
    assert line.cursor == 7
    growing.add(1)
    dashboard.redraw()
    assert (line.last, line.cursor) == (13, 7)
    line.following = True
    assert (dashboard.shown_step, line.cursor) == (None, 13)
    assert [m["kind"] for m in line.marks] == ["evaluation", "evaluation"]
    assert line.kept == [[1, 13]]
    growing.end()


def test_the_replay_moves_the_cursor_at_either_speed(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=6))
    line = dashboard.timeline.timeline
    assert line.speed == 4
    line.speed = 1.0
    assert dashboard.replay.speed.value == 1.0
    line.speed = 4.0
    assert dashboard.replay.speed.value == 0.25
    line.playing = True
    assert until(lambda: 2 <= line.cursor < 6)
    line.playing = False
    assert dashboard.shown_step == line.cursor
    assert not dashboard.replay.button.value
    dashboard.close()


def test_a_mark_that_is_picked_tells_and_goes_on_telling(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run", knobs={6: {"beta": 0.1}})
    growing.add(6)
    dashboard = Dashboard(growing.run)
    line = dashboard.timeline.timeline
    line.picked = ["knob@6"]
    assert "beta 0.15→0.1" in line.detail
    assert "5 steps before, 1 after" in line.detail
    growing.add(2)
    dashboard.redraw()
    assert "5 steps before, 3 after" in line.detail
    line.picked = []
    assert line.detail == ""
    growing.end()


def test_an_interval_can_be_read_and_ends_with_the_run_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (RunSource(make_run(tmp_path / n, steps=9, name=n)) for n in "ab")
    dashboard = Dashboard(one.run)
    assert dashboard.timeline.interval is None
    dashboard.timeline.timeline.interval = [3, 6]
    assert dashboard.timeline.interval == (3, 6)
    dashboard.timeline.show([other])
    assert dashboard.timeline.interval is None


def test_a_running_run_is_not_diagnosed_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(diagnoses, "diagnose", lambda source, step: asked.append(step) or [])
    monkeypatch.setattr(diagnoses, "PATIENCE", 1e9)
    growing = growing_run(tmp_path / "run", status="running")
    growing.add(1)
    dashboard = Dashboard(growing.run)
    for _ in range(3):
        growing.add(1)
        dashboard.redraw()
    assert asked == [1]
    growing.writer.finish("finished", "")
    growing.writer.close()
    dashboard.redraw()
    assert asked == [1, 4], "at the end the last word counts"


def test_what_could_not_be_read_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", steps=3)
    with monkeypatch.context() as patched:
        patched.setattr(part, "marks_of", lambda *given: 1 / 0)
        dashboard = Dashboard(run)
        assert "ZeroDivisionError" in dashboard.timeline.message.value
        assert dashboard.error.value == "", "the pages are drawn all the same"
    dashboard.redraw(force=True)
    assert dashboard.timeline.message.value == ""
    assert dashboard.timeline.timeline.last == 3


def test_scrubbing_reads_no_record_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=6))
    asked = []
    monkeypatch.setattr(part, "marks_of", lambda *given: asked.append(given) or [])
    for step in (2, 3, 4):
        dashboard.timeline.timeline.cursor = step
    assert (dashboard.shown_step, asked) == (4, [])


def test_without_a_step_there_is_no_line(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=0))
    assert dashboard.timeline.timeline.last == 0
    assert dashboard.timeline.message.value == ""


def test_a_mark_names_itself_by_kind_and_step() -> None:
    packed = Mark("branch", 3, "branched", 4).packed()
    assert packed == {
        "key": "branch@3",
        "kind": "branch",
        "step": 3,
        "text": "step 3, branch: branched",
    }
