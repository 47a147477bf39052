"""A stretch chosen on the timeline: Groups and Doctor are of its steps, say so and let go of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import growing_run, make_run

from workbench.doctor import diagnose
from workbench.widgets import Dashboard
from workbench.widgets.base import diagnoses
from workbench.widgets.base.source import RunSource
from workbench.widgets.doctor.view import DoctorView
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.pages import PAGES


def opened(dashboard: Dashboard, page: str):
    dashboard.tabs.selected_index = list(PAGES).index(page)
    return dashboard.pages[page]


def choose(dashboard: Dashboard, *steps: int) -> None:
    dashboard.timeline.timeline.interval = list(steps)


def test_groups_show_steps_of_the_stretch_only_and_say_what_it_is_like(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=12)
    dashboard = Dashboard(run)
    groups = opened(dashboard, "groups")
    assert isinstance(groups, GroupsView)
    assert groups.step == 12
    assert groups.stretch.widget.layout.display == "none"
    choose(dashboard, 4, 7)
    assert groups.step == 7, "the nearest to the dashboard's step"
    assert (groups.steps.box.min, groups.steps.box.max) == (4, 7)
    assert groups.steps.newer.disabled
    assert groups.stretch.button.description == "only steps 4 to 7 ✕"
    metrics = run.steps()
    mean = metrics[metrics["step"].between(4, 7)]["reward"].mean()
    assert f"<b>Steps 4 to 7</b>: 4 steps, the completions of 4 kept; mean reward {mean:.3g}" in (
        groups.summary.value
    )
    groups.steps.older.click()
    assert groups.step == dashboard.shown_step == 6
    # Another page's step outside is brought in here, and left alone there.
    dashboard.show_step(2)
    assert groups.step == 4
    assert dashboard.shown_step == 2
    groups.stretch.button.click()
    assert dashboard.timeline.interval is None
    assert groups.step == 2
    assert groups.steps.box.max == 12
    assert groups.stretch.widget.layout.display == "none"
    assert "Steps 4" not in groups.summary.value
    dashboard.close()


def test_a_stretch_without_kept_completions_says_so(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=12, samples=False))
    groups = opened(dashboard, "groups")
    choose(dashboard, 3, 5)
    assert "were not kept" in groups.summary.value
    assert "only steps 3 to 5" in groups.stretch.button.description
    dashboard.close()


def test_the_doctor_diagnoses_the_stretch_and_the_badge_stays_of_the_run(tmp_path: Path) -> None:
    ill = {"kl": lambda step: 5.0 if step < 15 else 0.0}
    run = make_run(tmp_path / "run", steps=40, metrics=ill)
    dashboard = Dashboard(run)
    doctor = opened(dashboard, "doctor")
    assert isinstance(doctor, DoctorView)
    badge = doctor.title
    assert "data-key='kl_high'" not in doctor.cards.html
    choose(dashboard, 3, 12)
    assert "data-key='kl_high'" in doctor.cards.html
    assert "steps 3 to 12 alone: " in doctor.cards.html
    for finding in diagnose(run, 12, since=3):
        assert f"data-key='{finding.key}'" in doctor.cards.html
    assert doctor.title == badge == dashboard.tabs.get_title(list(PAGES).index("doctor"))
    assert doctor.stretch.button.description == "only steps 3 to 12 ✕"
    doctor.stretch.button.click()
    assert "data-key='kl_high'" not in doctor.cards.html
    dashboard.close()


def test_a_run_that_ended_before_the_stretch_says_so(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "long", steps=12),
        make_run(tmp_path / "short", steps=3, name="short"),
    ]
    dashboard = Dashboard(runs)
    doctor = opened(dashboard, "doctor")
    choose(dashboard, 6, 9)
    assert "short has none of the steps 6 to 9." in doctor.cards.html
    dashboard.close()


def test_badge_and_timeline_share_one_diagnosis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(diagnoses, "diagnose", lambda source, step: asked.append(step) or [])
    monkeypatch.setattr(diagnoses, "PATIENCE", 1e9)
    growing = growing_run(tmp_path / "run", status="running")
    growing.add(1)
    dashboard = Dashboard(growing.run)
    growing.add(3)
    dashboard.redraw()
    assert asked == [1]
    growing.writer.finish("finished", "")
    growing.writer.close()
    dashboard.redraw()
    assert asked == [1, 4], "once for both"
    dashboard.close()


def test_a_stretch_is_not_the_newest_step(tmp_path: Path) -> None:
    """What is known of a run is not taken for another, nor for another step of it."""
    one = RunSource(make_run(tmp_path / "one", steps=12))
    other = RunSource(make_run(tmp_path / "other", steps=12, truncation=0.6))
    known = diagnoses.Diagnoses()
    assert known.of(one) == diagnose(one.run)
    assert known.of(other) == diagnose(other.run)
    assert known.of(other, 3) == diagnose(other.run, 3)
    assert known.of(one) == diagnose(one.run)
