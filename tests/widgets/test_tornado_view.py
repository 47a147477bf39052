"""The tornado's page: shows what a run has, and makes one of a live session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from inert_html import text_of
from made_runs import make_run

from workbench.runs import Run
from workbench.runs.tornado import Branch, TornadoResult
from workbench.runs.tornado.stored import save
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.tornado.view import NONE_STORED, NONE_YET, OTHER_PAST, TornadoView

RESULT = TornadoResult(
    run="run",
    step=0,
    steps=4,
    problems=50,
    branches=[
        Branch("base", measures={"reward": 1.0, "accuracy": 0.4}),
        *(
            Branch("seed", seed=i, measures={"reward": 1 + i / 10, "accuracy": 0.4})
            for i in (1, 2, 3)
        ),
        Branch("knob", "beta", "up", 0.0, 0.02, measures={"reward": 3.0, "accuracy": 0.4}),
    ],
)


def shown(source: RunSource | Run) -> TornadoView:
    view = TornadoView()
    view.show([source if isinstance(source, RunSource) else RunSource(source)], None)
    assert view.message.value == ""
    return view


def test_a_stored_run_shows_its_newest_and_each_that_is_chosen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    view = shown(run)
    assert NONE_STORED in view.picture.value
    assert view.form.layout.display == view.chosen.layout.display == "none"
    first = save(RESULT, run)
    save(replace(RESULT, step=2, fingerprint={"kl": 99.0}), run)
    view.show([view.source], None)
    assert [label for label, _ in view.chosen.options] == ["from step 0", "from step 2"]
    assert "From step 2 of run" in text_of(view.picture.value)
    assert OTHER_PAST in view.picture.value
    view.chosen.value = str(first.path)
    assert "From step 0 of run" in text_of(view.picture.value)
    assert OTHER_PAST not in view.picture.value
    assert "beta: reward +2 at 0.02." in view.picture.value
    view.show([view.source], None)
    assert view.chosen.value == str(first.path), "what a person chose stays"
    newest = save(RESULT, run)
    os.utime(newest.path, ns=(2**61, 2**61))
    view.show([view.source], None)
    assert view.chosen.label == "from step 0, number 2", "until there is a new one"


def test_a_damaged_file_is_said_in_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    save(RESULT, run).path.write_text("{")
    view = TornadoView()
    view.show([RunSource(run)], None)
    assert "is no tornado that can be read" in view.message.value


class FakeTornado:
    """A tornado in hand, moved by hand."""

    def __init__(self) -> None:
        self.state = "running"
        self.error: BaseException | None = None
        self.cancelled = False
        self.listeners: list[Callable[[], None]] = []
        self.progress: Any = SimpleNamespace(done=0, total=5)

    @property
    def done(self) -> bool:
        return self.state != "running"

    def subscribe(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def cancel(self) -> None:
        self.cancelled = True

    def come_to(self, state: str, error: BaseException | None = None) -> None:
        self.state = state
        self.error = error
        for listener in self.listeners:
            listener()


def live(run: Run, tornado: Any) -> TornadoView:
    asked: list[dict[str, int]] = []

    def make(**how: int) -> Any:
        asked.append(how)
        if isinstance(tornado, BaseException):
            raise tornado
        return tornado

    session = SimpleNamespace(status="paused", trainer=None, error=None, tornado=make, asked=asked)
    return shown(RunSource(run, session))


def test_a_live_session_makes_one_and_shows_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    tornado = FakeTornado()
    view = live(run, tornado)
    assert NONE_YET in view.picture.value
    view.steps.value = 2
    view.start.click()
    assert view.session.asked == [{"steps": 2, "seeds": 3}]
    assert view.start.disabled
    assert view.cancel.layout.display is None
    view.start.click()
    assert len(view.session.asked) == 1, "one at a time"
    view.cancel.click()
    assert tornado.cancelled
    assert "cancelling" in view.said.value
    save(RESULT, run)
    tornado.come_to("finished")
    assert not view.start.disabled
    assert view.cancel.layout.display == "none"
    assert "From step 0 of run" in text_of(view.picture.value)
    assert 'role="status">finished.' in view.said.value


def test_errors_are_shown_in_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    view = live(run, ValueError("<b>no</b> steps left"))
    view.start.click()
    assert "&lt;b&gt;no&lt;/b&gt; steps left" in view.message.value
    tornado = FakeTornado()
    view = live(run, tornado)
    view.start.click()
    tornado.come_to("failed", OSError("a reward failed"))
    assert "a reward failed" in view.message.value
    assert not view.start.disabled
    view.session.tornado = lambda **how: FakeTornado()
    view.start.click()
    assert view.message.value == "", "the next try is another"


def test_it_is_a_page_of_the_dashboard(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    save(RESULT, run)
    dashboard = Dashboard(run)
    dashboard.tabs.selected_index = list(dashboard.pages).index("tornado")
    assert "From step 0 of run" in text_of(dashboard.view.picture.value)


def test_a_stored_one_opens_without_torch(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    path = save(RESULT, run).path
    code = (
        "import sys; from workbench.runs.tornado import open_tornado; "
        "from workbench.widgets.tornado.view import TornadoView; "
        f"open_tornado({str(path)!r})._repr_html_(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
