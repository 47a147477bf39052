"""The comparison: chips, differences, settings, the map of the forks, and what its nodes lead
to."""

from __future__ import annotations

import html
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_runs import GrowingRun, How, make_run

from workbench import Session
from workbench.experiment.statistics import difference_of_shares, mean_interval
from workbench.runs import Run, RunWriter, relatives
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.compare.charts import shared_steps
from workbench.widgets.compare.differences import WINDOW, metric_difference
from workbench.widgets.compare.view import CompareView
from workbench.widgets.overview.panels import charts as overview_charts


def plain(markup: str) -> str:
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", markup, flags=re.S))
    return re.sub(r"\s+", " ", html.unescape(text)).strip()


def make_branch(parent: Run, path: Path, step: int, steps: int, name: str, **how) -> Run:
    """A branch of a made run that goes on to `steps` with another beta from the fork on."""
    writer = RunWriter.branch(parent.path, path, step, name=name)
    made = How(steps=steps, knobs={step + 1: {"beta": 0.5}}, name=name, **how)
    growing = GrowingRun(Run.open(path), writer, made)
    growing.add(steps - step)
    growing.end()
    return growing.run


def parent_and_child(tmp_path: Path) -> tuple[Run, Run]:
    """20 steps, and a branch after step 10 that is at step 16."""
    parent = make_run(tmp_path / "long", steps=20, name="long", config={"eval_steps": 5})
    child = make_branch(
        parent, tmp_path / "child", 10, 16, "child", seed=3, evaluations={15: (92, 200)}
    )
    return parent, child


def shown(*runs: Run, **links) -> tuple[CompareView, list[RunSource]]:
    view = CompareView(**links)
    sources = [RunSource(run) for run in runs]
    view.show(sources, None)
    return view, sources


def chart(view: CompareView, title: str, difference: bool) -> dict:
    found = [c for c in view.plots._charts if c["layout"]["meta"]["title"] == title]
    return found[1 if difference else 0]


def test_relatives_are_the_tree_beside_and_nobody_else(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    make_run(tmp_path / "stranger", steps=1, name="stranger")
    grandchild = make_branch(child, tmp_path / "third", 12, 13, "third")
    for one in (parent, child, grandchild):
        others = {other.meta.name for other in relatives(one)}
        assert others == {"long", "child", "third"} - {one.meta.name}


def test_a_run_alone_says_what_to_do(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=3))
    assert "Branch it" in plain(view.alone.value)
    assert view.plots.layout.display == "none"
    assert len(view.map.tree["lanes"]) == 1


def test_the_parent_beside_is_found_and_held_against(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    view, _ = shown(child)
    assert view.message.value == ""
    assert [m.source.label for m in view.members] == ["long", "child"]
    found = view.shown()
    assert found.reference.source.label == "long"
    assert shared_steps(found.focus, found.reference) == 10
    difference = chart(view, "reward", difference=True)
    line = next(t for t in difference["data"] if t.get("fill") is None)
    assert line["x"].tolist() == list(range(11, 17))
    r = {run.meta.name: run.steps().set_index("step")["reward"] for run in (parent, child)}
    gap = (r["child"] - r["long"]).loc[11:16].to_numpy()
    half = WINDOW // 2
    by_hand = [mean_interval(gap[max(i - half, 0) : i + half + 1].tolist()) for i in range(6)]
    np.testing.assert_allclose(line["y"], [one.value for one in by_hand], rtol=1e-5)
    spread = metric_difference(RunSource(child), RunSource(parent), "reward", 10)
    np.testing.assert_allclose(spread.low, [one.low for one in by_hand], rtol=1e-9)


def test_the_parents_path_ahead_of_the_child_is_pale(tmp_path) -> None:
    _, child = parent_and_child(tmp_path)
    view, _ = shown(child)
    traces = [t for t in chart(view, "reward", difference=False)["data"] if t["name"] == "long"]
    assert [t["x"].tolist() for t in traces] == [list(range(1, 17)), [17, 18, 19, 20]]
    assert [t.get("opacity", 1) < 1 for t in traces] == [False, True]


def test_the_overview_of_a_branch_shows_its_ghost_future(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    drawn = {c["layout"]["meta"]["title"]: c for c in overview_charts([RunSource(child)])}
    ghost = drawn["reward"]["data"][0]
    assert ghost["name"] == "long went on"
    assert ghost["x"].tolist() == list(range(10, 21))
    np.testing.assert_allclose(
        ghost["y"], parent.steps().set_index("step")["reward"].loc[10:], rtol=1e-6
    )
    assert drawn["reward"]["layout"]["xaxis"]["range"][1] >= 20
    assert "what long did after step 10" in drawn["reward"]["layout"]["meta"]["summary"]
    assert "went on" not in str(overview_charts([RunSource(parent)]))


def test_steps_count_from_the_fork_where_asked(tmp_path) -> None:
    _, child = parent_and_child(tmp_path)
    view, _ = shown(child)
    view.axis.value = True
    difference = chart(view, "reward", difference=True)
    line = next(t for t in difference["data"] if t.get("fill") is None)
    assert line["x"].tolist() == list(range(1, 7))
    assert difference["layout"]["xaxis"]["title"]["text"] == "steps since the fork"


def test_the_end_is_said_with_its_interval(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    view, _ = shown(child)
    ends = [run.evaluations().iloc[-1] for run in (child, parent)]
    value, low, high = difference_of_shares(*((e.accuracy, e.low, e.high) for e in ends))
    text = plain(view.verdict.value).replace("−", "-")
    assert f"{100 * value:+.1f} points" in text
    assert f"({100 * low:+.1f} to {100 * high:+.1f})" in text
    assert f"n = {ends[0].n}" in text


def test_newcombes_interval_is_the_published_one() -> None:
    """Newcombe 1998, table II, example (a): 56/70 against 48/80 gives 0.0524 to 0.3339."""
    from workbench.evaluation.estimators import wilson_interval

    shares = [(k / n, *wilson_interval(k, n)) for k, n in ((56, 70), (48, 80))]
    value, low, high = difference_of_shares(*shares)
    assert value == pytest.approx(0.2)
    assert (low, high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert math.isclose(-low, difference_of_shares(*shares[::-1])[2])


def test_only_settings_that_differ_and_the_moved_knobs(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    view, _ = shown(child, parent)
    settings, knobs = view.tables.value.split("Knob history")
    assert "beta" in settings
    assert "epsilon" not in settings
    assert "child 11 beta 0.15 → 0.5 user" in plain(knobs)


def test_chips_close_an_eye_and_put_another_run_in_focus(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    asked = []
    view, _ = shown(child, parent, focus=asked.append)
    ids = {run.meta.name: run.meta.id for run in (parent, child)}
    view.chips.eyes[ids["long"]].value = False
    names = {t["name"] for c in view.plots._charts for t in c["data"]}
    assert names == {"child"}
    assert view.chips.eyes[ids["child"]].disabled
    view.chips.buttons[ids["long"]].click()
    assert [source.label for source in asked] == ["long"]


def test_focus_leads_back_to_the_parent_in_the_dashboard(tmp_path) -> None:
    _, child = parent_and_child(tmp_path)
    dashboard = Dashboard(child)
    page = dashboard.pages["compare"]
    dashboard.tabs.selected_index = dashboard.views.index(page)
    parent_id = page.members[0].id
    page.chips.buttons[parent_id].click()
    assert [source.label for source in dashboard.sources] == ["long", "child"]
    assert page.focus.source.label == "long"
    assert page.chips.buttons[parent_id].disabled
    dashboard.close()


def test_the_map_has_lanes_edges_and_widths(tmp_path) -> None:
    _, child = parent_and_child(tmp_path)
    view, _ = shown(child)
    long, branch = view.map.tree["lanes"]
    assert (branch["parent"], branch["start"], branch["edge"]) == (0, 10, "beta 0.15 → 0.5")
    assert [node["step"] for node in long["nodes"]] == [0, 5, 10, 15, 20]
    accuracy = child.evaluations().set_index("step")["accuracy"]
    assert branch["nodes"][0] == {"step": 15, "accuracy": accuracy[15]}
    assert branch["nodes"][-1] == {"step": 16, "accuracy": accuracy.get(16)}
    assert branch["focus"]


class FakeSession(SimpleNamespace):
    """What the page asks of a session."""

    actions = Session.actions

    def rewind(self, step: int) -> None:
        self.asked.append(("rewind", step))

    def branch(self, name: str, from_step: int, **knobs) -> str:
        self.asked.append(("branch", name, from_step, knobs))
        return "the child"


def test_a_node_rewinds_and_branches_where_somebody_trains(tmp_path) -> None:
    parent = make_run(tmp_path / "long", steps=20, name="long")
    view, (source,) = shown(parent)
    view.map.chosen = {"run": 0, "step": 10}
    assert view.buttons["rewind"].disabled
    assert view.buttons["branch"].disabled
    assert "Only a record: no model is loaded" in plain(view.node.value)
    assert not view.buttons["show"].disabled

    followed, steps = [], []
    view = CompareView(show_step=steps.append, follow=followed.append)
    session = FakeSession(
        asked=[],
        trainer=SimpleNamespace(config=SimpleNamespace(max_steps=20)),
        error=None,
        status="paused",
        out=parent.path.parent,
        pending={"beta": 0.1},
    )
    source._session = session
    view.show([source], None)
    view.map.chosen = {"run": 0, "step": 10}
    name = f"{parent.path.parent.name}-from-10"
    told = plain(view.node.value)
    assert "Rewind goes back there: steps 11 to 20 of this run leave the record." in told
    assert f"Branch makes the run {name} from this state and its pending knobs (beta 0.1)" in told
    for name in ("show", "rewind", "branch"):
        assert not view.buttons[name].disabled
        view.buttons[name].click()
    name = f"{parent.path.parent.name}-from-10"
    assert session.asked == [("rewind", 10), ("branch", name, 10, {"beta": 0.1})]
    assert (steps, followed) == ([10], ["the child"])
    view.map.chosen = {"run": 0, "step": 20}
    assert view.buttons["rewind"].disabled, "the run stands there"
    assert "nothing to rewind" in plain(view.node.value)
    session.trainer = None
    view.show([source], None)
    assert "given its memory back" in plain(view.node.value)
    assert view.buttons["branch"].disabled
    view.map.chosen = {"run": 7, "step": "<b>"}
    assert view.buttons["branch"].layout.display == "none"


def test_hostile_names_are_text(tmp_path) -> None:
    parent = make_run(tmp_path / "a", steps=4, name="<img src=x onerror=alert(1)>")
    child = make_branch(parent, tmp_path / "b", 2, 4, "<script>alert(2)</script>")
    view, _ = shown(child, parent)
    drawn = "".join(w.value for w in (view.verdict, view.tables, view.node, view.alone))
    assert "<img" not in drawn
    assert "<script" not in drawn


def test_a_branch_that_was_resumed_still_knows_its_fork(tmp_path) -> None:
    parent, child = parent_and_child(tmp_path)
    RunWriter.resume(child.path, 14).close()
    view, _ = shown(child)
    assert view.map.tree["lanes"][1]["start"] == 10
    assert view.shown().reference.id == parent.meta.id
