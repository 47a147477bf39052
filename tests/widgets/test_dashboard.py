"""The dashboard over stored runs: every page draws, without torch; errors are words; a saved
notebook keeps a picture."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from made_runs import growing_run, make_run

from workbench.widgets import Dashboard
from workbench.widgets.export_html import export_html
from workbench.widgets.pages import PAGES


def test_every_page_of_a_stored_run_draws(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=12))
    for i, view in enumerate(dashboard.views):
        dashboard.tabs.selected_index = i
        assert dashboard.view is view
        assert dashboard.error.value == ""
    assert dashboard.step.max == 12
    dashboard.show_step(4)
    assert dashboard.shown_step == 4


WITHOUT_TORCH = """
import sys
{blocked}
from workbench.widgets import Dashboard
from workbench.widgets.export_html import export_html
dashboard = Dashboard({path!r})
for name in {pages}:
    dashboard.tabs.selected_index = list(dashboard.pages).index(name)
    assert dashboard.error.value == "", dashboard.error.value
print(sys.modules.get("torch"))
"""


def run_without(path: Path, pages: list[str], blocked: str = "", then: str = "") -> str:
    """What a fresh process says that opens these pages of a stored run."""
    code = WITHOUT_TORCH.format(path=str(path), pages=pages, blocked=blocked) + then
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def test_a_stored_run_imports_no_torch_before_tokens_or_what_if_is_opened(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", steps=3).path
    quick = [name for name in PAGES if name not in ("tokens", "what_if")]
    assert run_without(path, quick) == "None"


def test_where_torch_is_absent_the_pages_that_need_it_say_so(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", steps=3).path
    then = """
assert "needs torch" in dashboard.pages["tokens"].body.html, dashboard.pages["tokens"].body.html
assert dashboard.pages["tokens"].message.value == ""
assert "needs torch" in dashboard.pages["what_if"].head.value, dashboard.pages["what_if"].head.value
assert "finished at step 3" in dashboard.pages["overview"].header.value
print(len(dashboard.pages["doctor"].cards.html) > 200)
"""
    said = run_without(path, list(PAGES), 'sys.modules["torch"] = None', then)
    assert said.split() == ["None", "True"]


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


def test_what_cannot_be_drawn_is_said_and_drawing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    data, _ = dashboard._repr_mimebundle_()
    assert data["image/svg+xml"].lstrip().startswith("<svg")
    assert "nine" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert dashboard.picture().data.count("<path") + dashboard.picture().data.count("<polyline") > 5


def test_an_empty_run_is_no_error(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=0))
    for i in range(len(dashboard.views)):
        dashboard.tabs.selected_index = i
    assert dashboard.error.value == ""
    assert "image/svg+xml" not in dashboard._repr_mimebundle_()[0]


@pytest.mark.parametrize("target", [3, None, {"a": 1}, [[]], [None]])
def test_what_is_no_run_is_refused_in_words(target: object) -> None:
    with pytest.raises(TypeError, match="Give a Session, a Run, the path"):
        Dashboard(target)


def test_no_run_at_all_and_a_scale_out_of_bounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run in the list"):
        Dashboard([])
    with pytest.raises(ValueError, match="scale=nan"):
        Dashboard(make_run(tmp_path / "run", steps=0), scale=float("nan"))


def test_each_dashboard_keeps_its_own_scale(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    large, plain = Dashboard(run, scale=1.4), Dashboard(run)
    (zoom,) = [c.value for c in large.children if "zoom" in getattr(c, "value", "")]
    own = set(large._dom_classes) - set(plain._dom_classes)
    assert own
    assert f".{own.pop()} {{ zoom: 1.40; }}" in zoom


@pytest.mark.parametrize("fault", ["gone", "cut", "garbage"])
def test_a_record_that_is_spoilt_beneath_a_dashboard_is_named(tmp_path: Path, fault: str) -> None:
    run = make_run(tmp_path / "run", steps=3)
    dashboard, whole = Dashboard(run), Path(run.path).read_bytes()
    if fault == "gone":
        Path(run.path).unlink()
    else:
        Path(run.path).write_bytes(whole[:5000] if fault == "cut" else b"hello" * 1000)
    for i in reversed(range(len(dashboard.views))):
        dashboard.tabs.selected_index = i
        assert "run.sqlite" in dashboard.error.value
    dashboard.show_step(2)
    assert "text/plain" in dashboard_bundle(dashboard)
    Path(run.path).write_bytes(whole)
    dashboard.redraw()
    assert dashboard.error.value == ""
    assert dashboard.shown_step == 2


def dashboard_bundle(dashboard: Dashboard) -> dict[str, str]:
    """What a cell shows."""
    data = dashboard._repr_mimebundle_()
    return data[0] if isinstance(data, tuple) else data


def test_what_could_not_be_drawn_is_drawn_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = growing_run(tmp_path / "run")
    dashboard, drawn = Dashboard(growing.run), []
    growing.add(1)
    with monkeypatch.context() as patched:
        patched.setattr(dashboard.view, "show", lambda sources, step: 1 / 0)
        dashboard.redraw()
        assert "ZeroDivisionError" in dashboard.error.value
    monkeypatch.setattr(dashboard.view, "show", lambda sources, step: drawn.append(step))
    dashboard.redraw()  # nothing new in the record
    assert drawn == [None]
    assert dashboard.error.value == ""


def test_moving_the_step_draws_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashboard, drawn = Dashboard(make_run(tmp_path / "run", steps=5)), []
    monkeypatch.setattr(dashboard.view, "show", lambda sources, step: drawn.append(step))
    dashboard.step.value = 3
    dashboard.show_step(2)
    dashboard.newest.value = True
    assert drawn == [3, 2, None]
    assert dashboard.step.value == 5


def test_a_move_of_the_step_counts_while_the_dashboard_itself_moves_it(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run")
    growing.add(5)
    dashboard = Dashboard(growing.run)
    with dashboard.steps.by_itself():
        person = threading.Thread(target=setattr, args=(dashboard.step, "value", 2))
        person.start()
        person.join(10)
    assert (dashboard.newest.value, dashboard.shown_step) == (False, 2)


def test_the_words_beside_the_picture_are_inert(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=2, name="\x1b[31m\u202ered" + "y" * 300)
    text = dashboard_bundle(Dashboard(run))["text/plain"]
    assert text.isprintable()
    assert len(text) < 200


def test_a_control_is_drawn_where_one_is_at_hand(tmp_path: Path) -> None:
    """Given, or found beside the run; asked for none, there is none; what is no control is
    refused."""
    run = make_run(tmp_path / "run", steps=3, name="run")
    shuffled = ("shuffled_format_reward", "shuffled_answer_reward")
    make_run(tmp_path / "beside", steps=3, reward_names=shuffled)
    away = make_run(tmp_path / "far" / "away", steps=3, reward_names=shuffled)

    drawn = {
        "found": Dashboard(run),
        "given": Dashboard([run, away], control=str(away.path)),
        "none": Dashboard(run, control=()),
    }
    shown = {name: [c.path for c in d.sources[0].controls] for name, d in drawn.items()}
    assert shown == {
        "found": [tmp_path / "beside" / "run.sqlite"],
        "given": [away.path],
        "none": [],
    }
    page = export_html(run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "rewards that say nothing" in page
    pictures = {name: "rewards that say nothing" in d._svg() for name, d in drawn.items()}
    assert pictures == {"found": True, "given": True, "none": False}
    with pytest.raises(ValueError, match="its rewards format_reward, answer_reward say something"):
        Dashboard(run, control=run)
