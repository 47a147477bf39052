"""The page of behaviours: which kind each completion is of, their shares, the stream, and examples
of a band."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import growing_run, make_run

from workbench.course.recorded import recorded
from workbench.tasks.behaviours import BEHAVIOURS, Behaviours
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.behaviours import read
from workbench.widgets.behaviours.kinds import (
    MOST,
    StepKinds,
    kind_at,
    kinds_of,
    merged,
    shares,
    varied,
    with_hacked,
)
from workbench.widgets.behaviours.read import MOST_STEPS, spread
from workbench.widgets.behaviours.view import BehavioursView

HOSTILE = '<img src=x onerror="alert(1)">\u202e'


def frame(*rows: tuple[float, float, bool]) -> pd.DataFrame:
    """Completions that were paid so by two functions."""
    a, b, truncated = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "prompt": "What is 1 + 2?",
            "gold_answer": "3",
            "completion": "3",
            "reward": np.nansum([a, b], axis=0),
            "truncated": truncated,
            "rewards/form": a,
            "rewards/right": b,
        }
    )


# ------------------------------------------------------------------ kinds


def test_without_names_of_the_task_a_kind_is_who_paid() -> None:
    given = frame((1, 1, False), (1, 0, False), (0, 0, False), (0, np.nan, True), (-1, 2, False))
    assert kinds_of(given, "some data").kinds == [
        "form + right",
        "form",
        "nothing paid",
        "cut off",
        "right",
    ]
    assert set(kinds_of(given, "arithmetic").kinds) == {"right, untagged"}


def test_what_is_wrong_but_paid_more_than_right_ones_is_hacked() -> None:
    right, wrong, slip = "right, tagged", "wrong", "dropped carry"
    steps = {
        1: StepKinds([wrong], np.array([9.0])),  # no right one yet
        2: StepKinds([right, right, wrong, slip], np.array([2.0, 4.0, 3.0, 3.5])),  # mean 3
        3: StepKinds([wrong, wrong, right], np.array([3.5, np.nan, 9.0])),  # mean of 2, 4, 9: 5
    }
    assert with_hacked(steps, "arithmetic") == {
        1: [wrong],
        2: [right, right, wrong, "hacked"],
        3: [wrong, wrong, right],
    }
    assert with_hacked(steps, "some data")[2] == [right, right, wrong, slip]


def test_a_right_kind_that_is_not_paid_does_not_make_the_others_hacked() -> None:
    kinds = ["right, untagged", "right, tagged", "wrong"]
    found = with_hacked({1: StepKinds(kinds, np.array([0.0, 2.0, 1.0]))}, "arithmetic")
    assert found[1][2] == "wrong", "it was paid for its form, less than a right one"


def test_shares_by_hand() -> None:
    shown = {4: ["wrong", "right, tagged", "wrong", "hacked"], 2: ["wrong", "wrong"]}
    found = shares(shown, "arithmetic")
    assert list(found) == ["right, tagged", "wrong", "hacked"], "as the task orders them"
    assert {kind: v.tolist() for kind, v in found.items()} == {
        "right, tagged": [0, 0.25],
        "wrong": [1, 0.5],
        "hacked": [0, 0.25],
    }
    patterns = {1: ["cut off", "a", "nothing paid", "a + b"]}
    assert list(shares(patterns, "data")) == ["a + b", "a", "nothing paid", "cut off"]


def test_the_rarest_patterns_are_one() -> None:
    shown = {1: [f"p{i}" for i in range(12) for _ in range(12 - i)]}
    kinds = set(merged(shown, "data")[1])
    assert kinds == {"other", *(f"p{i}" for i in range(MOST - 1))}
    assert merged({1: ["a", "b"]}, "data") == {1: ["a", "b"]}


def test_examples_are_of_different_groups_and_texts() -> None:
    samples = pd.DataFrame(
        {
            "row": [0, 1, 2, 3, 4],
            "group": [0, 0, 0, 1, 2],
            "completion": ["a", "a", "b", "c", "a"],
        }
    )
    assert varied(samples, 2) == [0, 3]
    assert varied(samples, 4) == [0, 2, 3, 4]


def test_the_band_under_a_height() -> None:
    found = {"a": np.array([0.5, 0.0]), "b": np.array([0.25, 1.0]), "c": np.array([0.25, 0.0])}
    assert [kind_at(found, 0, y) for y in (0.1, 0.6, 0.9)] == ["a", "b", "c"]
    assert [kind_at(found, 1, y) for y in (0.0, 0.9)] == ["b", "b"]
    assert [kind_at(found, 0, y) for y in (-0.1, 1.1)] == [None, None]


def test_steps_are_spread_and_those_read_stay() -> None:
    few, many, more = (list(range(1, n + 1)) for n in (10, 1000, 1001))
    assert spread(few, 128) == few
    assert len(spread(many, 128)) <= 130
    assert set(spread(many, 128)) - {1000} <= set(spread(more, 128))
    assert spread(more, 128)[-1] == 1001
    assert spread([], 5) == []


# ------------------------------------------------------------------- page


def test_a_recorded_run_turns_to_hacking() -> None:
    view = BehavioursView()
    view.show([RunSource(recorded("hacked"))], None)
    assert view.message.value == ""
    (chart,) = view.plot._charts
    by_name = {trace["name"]: trace["y"] for trace in chart["data"]}
    np.testing.assert_allclose(sum(by_name.values()), 1, rtol=1e-5)
    assert by_name["hacked"][0] < 0.2 < 0.6 < by_name["hacked"][-1]
    assert view.kind.value == "hacked", "examples of what is most of the newest step"
    assert "the task arithmetic" in view.summary.value
    assert view.examples.value.count("<tr>") > 3
    patterns = {(t["line"]["color"], t["fillpattern"]["shape"]) for t in chart["data"]}
    assert len(patterns) == len(chart["data"]), "no two bands look alike"


def test_knob_changes_and_the_fork_are_marked() -> None:
    view = BehavioursView()
    view.show([RunSource(recorded("branch"))], 4)
    shapes = view.plot._charts[0]["layout"]["shapes"]
    assert [s.get("name", "") for s in shapes] == [
        "step 61: beta 0.005→1",
        "step 60: branched from long",
        "",
    ]
    assert shapes[-1]["x0"] == 4
    assert view.step == 4


def test_a_click_on_a_band_opens_examples_and_their_tokens(tmp_path: Path) -> None:
    picked = []
    run = make_run(tmp_path / "run", steps=8)  # of a task without a name here
    view = BehavioursView(on_pick=lambda step, row: picked.append((step, row)))
    view.show([RunSource(run)], None)
    top = list(view._shares)[-1]
    view.plot.clicked = {"x": 3.2, "y": 0.999, "panel": 0, "count": 1}
    assert (view.step, view.kind.value) == (3, top)
    kinds = kinds_of(run.samples(3), "addition").kinds
    rows = [row for row, kind in enumerate(kinds) if kind == top]
    assert f"{len(rows)} of {len(kinds)} are {top}" in view.examples.value
    view.picks.widget.value = rows[0]
    assert picked == [(3, rows[0])]


def test_an_interval_leaves_the_other_steps_out(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=12))
    view = dashboard.pages["behaviours"]
    dashboard.tabs.selected_index = dashboard.views.index(view)
    assert list(view._kinds) == list(range(1, 13))
    dashboard.timeline.timeline.interval = [4, 6]
    assert list(view._kinds) == [4, 5, 6]
    assert "In steps 4 to 6, of which 3 were read" in view.summary.value
    low, high = view.plot._charts[0]["layout"]["xaxis"]["range"]
    assert 3 < low < 4
    assert 6 < high < 7
    dashboard.timeline.timeline.interval = []
    assert len(view._kinds) == 12


def test_a_task_of_ones_own_names_its_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Behaviours(("long", "short"), ("long",), lambda p, g, c: "long" if c else "short")
    monkeypatch.setitem(BEHAVIOURS, "addition", named)
    view = BehavioursView()
    view.show([RunSource(make_run(tmp_path / "run", steps=3))], None)
    assert list(view._shares) == ["long"]


def test_a_running_run_is_read_a_little_at_each_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "SECONDS", 0.0)
    growing = growing_run(tmp_path / "run", status="running")
    growing.add(3)
    source, view = RunSource(growing.run), BehavioursView()
    view.show([source], None)
    assert list(view._kinds) == [3]
    assert "2 are still to be read" in view.summary.value
    view.show([source], None)
    view.show([source], None)
    assert list(view._kinds) == [1, 2, 3]
    assert "to be read" not in view.summary.value
    growing.end()


def test_a_long_run_is_drawn_again_quickly(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=300, prompts=2, tokens=6, keep_tokens=False)
    source, view = RunSource(run), BehavioursView()
    view.show([source], None)
    assert len(view._kinds) <= MOST_STEPS + 1
    began = time.perf_counter()
    view.show([source], None)
    assert time.perf_counter() - began < 0.2
    view.plot.clicked = {"x": 5.0, "y": 0.1, "panel": 0, "count": 1}
    assert view.message.value == ""


def test_nothing_kept_and_no_run_are_said(tmp_path: Path) -> None:
    view = BehavioursView()
    assert "No run is shown yet" in view.summary.value
    view.show([RunSource(make_run(tmp_path / "run", steps=2, samples=False))], None)
    assert "No completions were kept" in view.summary.value
    assert view.plot.layout.display == "none"


def test_foreign_texts_are_inert(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        steps=2,
        reward_names=[HOSTILE, "b"],
        texts=lambda step: [HOSTILE] * 16,
    )
    view = BehavioursView()
    view.show([RunSource(run)], None)
    for kind in view.kind.options:
        view.kind.value = kind
        shown = view.examples.value + view.summary.value
        assert "<img" not in shown
        assert "\u202e" not in shown
    assert "<img" not in str([trace["name"] for trace in view.plot._charts[0]["data"]])
