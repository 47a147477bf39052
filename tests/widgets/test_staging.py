"""How the dashboard stands in the page, without a page: the code that brings a view back, the words
of the pill, the recorded run before the first step, the picture that a saved notebook keeps."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import IPython.display
import pytest
from made_runs import growing_run, make_run

from workbench import Dashboard
from workbench.runs import Run
from workbench.widgets.base import hosts
from workbench.widgets.base.source import RunSource
from workbench.widgets.staging.bookmark import code_of
from workbench.widgets.staging.stage import in_brief

VIEW = "application/vnd.jupyter.widget-view+json"


class SessionLike:
    """As much of a session as a source of a run asks for."""

    def __init__(self, run: Run, status: str = "running") -> None:
        self.run, self.status = run, status
        self.trainer = None
        self.error = None


def _seen(dashboard: Dashboard) -> tuple[Any, ...]:
    """Page and step; of the tokens the completion and the colouring: what a person sees."""
    page = list(dashboard.pages)[dashboard.tabs.selected_index]
    shown = getattr(dashboard.view, "step", dashboard.shown_step)
    if page != "tokens":
        return page, shown
    return page, shown, dashboard.view.row, dashboard.view.quantity_menu.value


def test_a_view_comes_back_from_its_line_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_run(tmp_path / "runs/x", steps=6).path
    moves = [
        lambda it: None,
        lambda it: it.show_step(4),
        lambda it: setattr(it.tabs, "selected_index", 1),
        lambda it: it._show_completion(3, 2),
        lambda it: (it.show_step(5), it.pages["tokens"].pick(7)),
        lambda it: setattr(it.pages["tokens"].quantity_menu, "value", "entropy"),
        lambda it: (it.show_step(2), setattr(it.tabs, "selected_index", 7)),
    ]
    codes = []
    dashboard = Dashboard(path)
    for move in moves:
        move(dashboard)
        code = dashboard.code()
        again = eval(code, {"Dashboard": Dashboard})
        assert _seen(again) == _seen(dashboard), code
        assert again.error.value == ""
        assert again.code() == code
        codes.append(code)
    assert codes[:2] == ['Dashboard("runs/x")', 'Dashboard("runs/x", step=4)']
    assert codes[3] == 'Dashboard("runs/x", step=3, page="tokens", row=2)'
    assert len(set(codes)) == len(moves), "each view has its own"


def test_the_button_copies_what_is_shown_now(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=6), scale=1.4)
    dashboard.show_step(3)
    assert dashboard.stage.code == code_of(dashboard)
    assert "step=3" in dashboard.stage.code
    assert "scale=1.4" in dashboard.stage.code
    dashboard.tabs.selected_index = 2
    dashboard.pages["tokens"].quantity_menu.value = "entropy"
    assert 'colour="entropy"' in dashboard.stage.code, "without a step or a page turned"
    dashboard.pages["tokens"].row_menu.value = 1
    assert "row=1" in dashboard.stage.code


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"page": "token"}, "page='token'.*tokens"),
        ({"step": 0}, "step=0.*first step is 1"),
        ({"step": 7}, "step=7.*has 6 steps"),
        ({"row": -1}, "row=-1"),
        ({"colour": "red"}, "colour='red'.*advantage"),
    ],
)
def test_a_view_that_is_not_there_is_refused_in_words(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Dashboard(make_run(tmp_path / "run", steps=6), **given)


def test_a_row_that_is_not_there_is_said_in_the_page(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", steps=6), step=2, page="tokens", row=999)
    assert "row 999" in dashboard.view.message.value


def test_the_pill_says_steps_and_accuracy(tmp_path: Path) -> None:
    source = RunSource(make_run(tmp_path / "run", steps=3))
    source.planned = 32
    accuracy = source.evaluations.iloc[-1].accuracy
    assert in_brief(source) == f"3/32 · {100 * accuracy:.0f} %"
    source.evaluations = source.evaluations.iloc[:0]
    source.planned = None
    assert in_brief(source) == "3"


def test_a_recorded_run_stands_in_until_the_first_step(tmp_path: Path) -> None:
    growing = growing_run(tmp_path / "run")
    dashboard = Dashboard(growing.run)
    preview = dashboard.preview
    assert list(preview.instead_of(dashboard.sources)) == dashboard.sources, "nobody trains here"

    for status, stands_in in (("ready", True), ("running", True), ("failed", False)):
        source = RunSource(growing.run, SessionLike(growing.run, status))  # type: ignore[arg-type]
        source.status = status
        (shown,) = preview.instead_of([source])
        assert (shown.label == "long") is stands_in, status
        assert (preview.note.layout.display is None) is stands_in
        assert ("wb-recorded" in dashboard.tabs._dom_classes) is stands_in
    growing.add(1)
    source.status = "running"
    source.refresh()
    source.status = "running"
    assert preview.instead_of([source]) == [source]
    assert "wb-recorded" not in dashboard.tabs._dom_classes


def test_a_saved_notebook_keeps_the_newest_picture_and_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def __init__(self, place: int) -> None:
            self.place = place

        def update(self, data: dict[str, str], **_: Any) -> None:
            shown[self.place] = data

    def display(data: dict[str, str], **_: Any) -> Handle:
        shown.append(data)
        return Handle(len(shown) - 1)

    monkeypatch.setattr(IPython.display, "display", display)
    growing = growing_run(tmp_path / "run")
    dashboard = Dashboard(growing.run)
    dashboard._ipython_display_()
    widget, picture = shown
    assert VIEW in widget
    assert VIEW not in picture, "or a front end would try the widget again"
    assert widget["text/plain"].endswith("before its first step")
    assert len(widget["text/plain"]) < 120
    assert "image/svg+xml" not in picture

    growing.add(2)
    dashboard.sources[0].status = "paused"
    dashboard.redraw()
    monkeypatch.setattr(dashboard.saved, "_next", 0.0)
    dashboard.redraw(force=True)
    picture = shown[1]
    assert picture["image/svg+xml"].startswith("<svg")
    assert base64.b64encode(picture["image/svg+xml"].encode()).decode() in picture["text/html"]
    assert "step 2" in picture["text/plain"]
    assert dashboard.stage.key in picture["text/html"], "so that the page can hide it"
    assert len(shown) == 2, "no output is added"


def test_in_colab_the_picture_stays_in_the_one_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **_: shown.append(data))
    dashboard = Dashboard(make_run(tmp_path / "run", steps=3))
    monkeypatch.setattr("workbench.widgets.staging.saved.in_colab", lambda: True)
    assert not hosts.in_colab()
    dashboard._ipython_display_()
    assert [sorted(data) for data in shown] == [[VIEW, "image/svg+xml", "text/html", "text/plain"]]


def test_every_module_says_that_it_has_come() -> None:
    """Each JavaScript module of ours stands behind the page's part and calls it."""
    folder = Path(hosts.__file__).parents[1]
    modules = [path for path in folder.rglob("*.js") if "export default" in path.read_text()]
    assert len(modules) > 5
    silent = [path.name for path in modules if "wbArrived(model)" not in path.read_text()]
    assert silent == []
    apart = [
        path.name
        for path in folder.rglob("*.py")
        if "_esm = " in path.read_text() and "_esm = module_" not in path.read_text()
    ]
    assert apart == []
