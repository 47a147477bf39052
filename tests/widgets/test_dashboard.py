"""The dashboard over stored runs: every page draws, without torch; errors are words; a saved notebook keeps a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import growing_run, make_run

from workbench.widgets import Dashboard


def test_every_page_of_a_stored_run_draws(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=12))
    for i, view in enumerate(dashboard.views):
        dashboard.tabs.selected_index = i
        assert dashboard.view is view
        assert dashboard.error.value == ""
    assert dashboard.step.max == 12
    dashboard.show_step(4)
    assert dashboard.shown_step == 4


def test_a_stored_run_needs_no_torch(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", steps=3).path
    code = f"""
import sys
from workbench.widgets import Dashboard
dashboard = Dashboard({str(path)!r})
for i in (0, 1, 2, 4):
    dashboard.tabs.selected_index = i
print("torch" in sys.modules, repr(dashboard.error.value))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False ''"


def test_it_follows_a_run_that_grows_until_a_step_is_chosen(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run")
    growing.add(2)
    dashboard = Dashboard(growing.run)
    growing.add(3)
    dashboard.redraw()
    assert (dashboard.step.value, dashboard.shown_step) == (5, None)
    dashboard.show_step(2)
    growing.add(1)
    dashboard.redraw()
    assert (dashboard.step.max, dashboard.shown_step) == (6, 2)


def test_several_runs_lie_over_each_other(tmp_path: Path) -> None:
    dashboard = Dashboard([make_run(tmp_path / n, steps=5, name=n) for n in ("first", "second")])
    assert [s.label for s in dashboard.sources] == ["first", "second"]


def test_what_cannot_be_drawn_is_said_and_drawing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=3))

    def broken(sources, step):
        raise RuntimeError("<b>no</b>")

    with monkeypatch.context() as patched:
        patched.setattr(dashboard.view, "show", broken)
        dashboard.redraw(force=True)
        assert "&lt;b&gt;no&lt;/b&gt;" in dashboard.error.value
    dashboard.redraw(force=True)
    assert dashboard.error.value == ""


def test_a_saved_notebook_keeps_a_picture(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=9, name="nine"))
    data = dashboard._repr_mimebundle_()
    assert data["image/svg+xml"].lstrip().startswith("<svg")
    assert "nine" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert dashboard.picture().data.count("<path") + dashboard.picture().data.count("<polyline") > 5


def test_an_empty_run_is_no_error(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=0))
    for i in range(len(dashboard.views)):
        dashboard.tabs.selected_index = i
    assert dashboard.error.value == ""
    assert "image/svg+xml" not in dashboard._repr_mimebundle_()
