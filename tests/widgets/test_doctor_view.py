"""The doctor's page, drawn without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_runs import growing_run, make_run

from workbench import Session
from workbench.doctor import SEVERITIES, SIGNS, diagnose
from workbench.doctor.finding import ACCURACY, Curve, Show
from workbench.errors import WorkbenchError
from workbench.runs import Run
from workbench.widgets import Dashboard
from workbench.widgets.base.source import RunSource
from workbench.widgets.doctor.completions import chosen
from workbench.widgets.doctor.markup import DOCTOR_CSS
from workbench.widgets.doctor.spark import spark_html
from workbench.widgets.doctor.view import DoctorView

HOSTILE = "</li><script>alert('1')</script><img src=x onerror=alert(1)>\x1b[31m\u202eevil\u200b"
BAD = dict(
    status="failed", reason="the loss is NaN", tokens=16, truncation=0.3, metrics={"kl": 30.0}
)


def drawn(*runs, step: int | None = None) -> DoctorView:
    view = DoctorView()
    view.show([RunSource(run) for run in runs], step)
    assert not view.message.value, view.message.value
    return view


class _Tags(HTMLParser):
    """Collects tags and attributes, and checks that they close in order."""

    VOID = ("br", "img", "input", "hr", "wbr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def keys(view: DoctorView) -> list[str]:
    return re.findall(r"data-key='(\w+)'", view.cards.html)


def test_a_card_for_each_finding_the_worst_first(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **BAD)
    view, findings = drawn(run), diagnose(run)
    assert keys(view) == [f.key for f in findings]
    words = re.findall(r"</span>(problem|warning|note|good)</span>", view.cards.html)
    assert words == [f.severity for f in findings]
    assert words == sorted(words, key=SEVERITIES.index)
    assert "the loss is NaN" in view.cards.html
    assert view.cards.html.count("Try:") == sum(bool(f.try_) for f in findings)
    assert view.cards.html.count("Evidence:") == len(findings)


def test_severity_shows_by_word_and_sign_as_well_as_colour() -> None:
    assert set(SIGNS) == set(SEVERITIES)
    colours = re.findall(r"\.wb-[\w-]+ \{ --wb-severity: (#\w+)", DOCTOR_CSS)
    assert len(set(SIGNS.values())) == len(set(colours)) == 4


def test_the_head_counts_the_findings(tmp_path: Path) -> None:
    text = drawn(make_run(tmp_path / "run", **BAD)).cards.html
    assert "step 30: <span role='status'>2 problems, " in text
    assert "1 warning," in text


def test_empty_states(tmp_path: Path) -> None:
    assert "No run is shown yet." in DoctorView().cards.html
    assert keys(drawn(make_run(tmp_path / "none", steps=0))) == ["no_steps"]
    quiet = make_run(
        tmp_path / "quiet", steps=2, metrics={"learning_rate": 1e-3}, evaluations={0: (60, 200)}
    )
    assert diagnose(quiet) == []
    assert (
        "step 2: <span role='status'>nothing out of the ordinary so far." in drawn(quiet).cards.html
    )


def test_an_earlier_step(tmp_path: Path) -> None:
    view = drawn(make_run(tmp_path / "run", **BAD), step=12)
    assert "step 12 (as it stood then; the run goes on to step 30)" in view.cards.html
    assert "run_failed" not in keys(view)
    assert "kl_high" in keys(view)


def test_several_runs_are_named_and_a_shorter_one_shows_its_last_step(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / n, name=n, steps=s)
        for n, s in (("first", 30), ("second", 10), ("c", 3), ("d", 3), ("e", 3))
    ]
    text = drawn(*runs[:2], step=20).cards.html
    assert text.index("<b>first</b>, step 20") < text.index("<b>second</b>, step 10:")
    assert "Shown are the first 4 of 5 runs." in drawn(*runs).cards.html


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    names = [HOSTILE, "answer"]
    run = make_run(
        tmp_path / "run",
        name=HOSTILE,
        reward_names=names,
        status="failed",
        reason=HOSTILE * 500,
        rewards=lambda step: np.stack([np.zeros(16), np.arange(16) % 2], 1),
        metrics={f"seconds/{HOSTILE}": 90.0},
    )
    view = drawn(run, make_run(tmp_path / "other", name=HOSTILE))
    html = view.cards.html
    assert {"run_failed", "component_never_pays", "step_time"} <= set(keys(view))
    tags = _Tags(html)
    svg = {"figure", "figcaption", "svg", "rect", "line", "polyline", "circle", "br"}
    assert set(tags.tags) <= {"div", "p", "b", "span", "ul", "li", "button"} | svg
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert not set("\x1b\u202e\u200b") & set(html)
    assert "U+202E" in html
    assert len(html) < 90_000


def test_an_error_is_shown_and_gone_with_the_next_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = RunSource(make_run(tmp_path / "run"))
    view = DoctorView()
    view.show([source], None)
    good = view.cards.html

    def fails(*_: object) -> None:
        raise RuntimeError("<b>no such column</b>")

    monkeypatch.setattr("workbench.widgets.base.diagnoses.diagnose", fails)
    view.show([source], None)
    assert "RuntimeError" in view.message.value
    assert "&lt;b&gt;no such column" in view.message.value
    assert view.cards.html == ""
    monkeypatch.undo()
    view.show([source], None)
    assert (view.message.value, view.cards.html) == ("", good)


def test_a_live_run_is_followed_from_any_thread(tmp_path: Path) -> None:
    live = growing_run(tmp_path / "run", config={"updates_per_rollout": 1})
    source, view = RunSource(live.run), DoctorView()
    view.show([source], None)
    assert keys(view) == ["no_steps"]
    live.add(5)
    source.refresh()
    thread = threading.Thread(target=view.show, args=([source], None))
    thread.start()
    thread.join()
    assert "epsilon_idle" in keys(view)
    assert "step 5:" in view.cards.html


def test_the_same_findings_are_not_sent_again(tmp_path: Path) -> None:
    source, view, sent = RunSource(make_run(tmp_path / "run")), DoctorView(), []
    view.show([source], None)
    view.cards.observe(sent.append, "html")
    view.show([source], None)
    assert sent == []


FALLEN = dict(
    evaluations={0: (100, 200), 10: (140, 200), 30: (90, 200)}, metrics={"reward": [1.0] * 30}
)
"""Held-out accuracy was best at step 10."""


def button(view: DoctorView, words: str) -> str:
    """The tag of the button that says this."""
    found = re.findall(rf"<button[^>]*>{words}[^<]*</button>", view.cards.html)
    assert len(found) == 1, (words, re.findall(r"<button[^>]*>[^<]*", view.cards.html))
    return found[0]


def press(view: DoctorView, words: str) -> None:
    tag = button(view, words)
    assert " disabled" not in tag
    key = re.search(r"data-act='([^']*)'", tag)
    assert key is not None
    view.cards.asked = [key.group(1), str(time.monotonic())]


class LiveSession:
    """As much of a session as the page looks at."""

    trainer = object()
    status = "paused"
    actions = Session.actions


def live(run: Run) -> RunSource:
    source = RunSource(run)
    source._session = LiveSession()
    return source


def test_a_branch_is_asked_for_as_the_button_says(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **FALLEN)
    asked: list[tuple[int, dict[str, float]]] = []

    def branch(step: int, knobs: dict[str, float]) -> str:
        asked.append((step, knobs))
        return "branch-10"

    view = DoctorView(branch)
    view.show([live(run)], None)
    rate = run.config["learning_rate"]
    press(view, f"branch from 10 with learning_rate {rate / 2:.3g} \\(÷ 2\\)")
    assert asked == [(10, {"learning_rate": rate / 2})]
    assert "branch-10 is in focus now" in view.said.value


def test_a_branch_that_fails_is_told(tmp_path: Path) -> None:
    def fails(step: int, knobs: dict[str, float]) -> str:
        raise RuntimeError("the disk is <full>")

    view = DoctorView(fails)
    view.show([live(make_run(tmp_path / "run", **FALLEN))], None)
    press(view, "branch from 10")
    assert "RuntimeError: the disk is &lt;full&gt;" in view.said.value

    def refuses(step: int, knobs: dict[str, float]) -> str:
        raise WorkbenchError("branch: the session is still busy.")

    view._on_branch = refuses
    press(view, "branch from 10")
    assert "branch: the session is still busy." in view.said.value
    assert "could not be drawn" not in view.said.value


def test_a_record_cannot_be_branched_and_says_why(tmp_path: Path) -> None:
    never: list[int] = []
    view = DoctorView(lambda step, knobs: never.append(step) or "")
    source = RunSource(make_run(tmp_path / "run", **FALLEN))
    view.show([source], None)
    tag = button(view, "branch from 10")
    assert " disabled" in tag
    assert "Only a record: no model is loaded" in view.cards.html
    # Nor by a message that no button sends.
    key = re.search(r"data-act='([^']*)'", tag)
    view.cards.asked = [key.group(1), "1"]
    assert never == []
    freed = live(make_run(tmp_path / "freed", **FALLEN))
    freed._session.trainer = None
    view.show([freed], None)
    assert "given its memory back" in view.cards.html
    view.show([freed, live(make_run(tmp_path / "other", **FALLEN))], None)
    assert view.cards.html.count("Another run is in focus") == 2


def test_the_completions_of_a_finding_are_opened_and_closed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tokens=16, truncation=0.3, texts=lambda step: HOSTILES)
    picked: list[tuple[int, int]] = []
    view = DoctorView(on_pick=lambda step, row: picked.append((step, row)))
    view.show([RunSource(run)], None)
    press(view, "show the completions that were cut off, steps 26 to 30")
    html = view.cards.html
    _Tags(html)
    assert "<script>alert" not in html
    cut = run.samples(30)
    rows = [int(row) for row in cut[cut["truncated"].astype(bool)]["row"]]
    shown = re.findall(r"/tokens/(\d+)/(\d+)'", html)
    assert 1 <= len(shown) <= 6
    assert int(shown[0][0]) == 30
    assert int(shown[0][1]) in rows
    assert "aria-expanded='true'" in button(view, "show the completions that were cut off")
    key = re.search(r"data-act='([^']*/tokens/[^']*)'", html)
    view.cards.asked = [key.group(1), "1"]
    assert picked == [tuple(int(part) for part in shown[0])]
    press(view, "show the completions that were cut off")
    assert "/tokens/" not in view.cards.html


HOSTILES = [f"{HOSTILE} {place}" for place in range(16)]


def test_each_kind_of_completions_is_what_it_says(tmp_path: Path) -> None:
    table = np.stack([np.arange(16.0), np.arange(16) % 4 * 1.0], 1)
    table[8:12] = 1.0
    table[3, 1] = np.nan
    run = make_run(
        tmp_path / "run",
        steps=2,
        rewards=lambda step: table,
        texts=lambda step: [f"text {row}" for row in range(16)],
    )
    source = RunSource(run)

    def rows(which: str) -> list[int]:
        return chosen(source, Show(which, (2,))).rows["row"].tolist()

    assert rows("best paid")[:3] == [15, 14, 13]
    assert rows("worst paid")[0] == 0
    assert rows("not scored") == [3]
    assert rows("dead") == [8]
    assert len(rows("any")) == 6
    assert len(chosen(source, Show("any", (7,))).rows) == 0


def test_the_evidence_is_shaded_where_it_says(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **BAD)
    view = drawn(run)
    figure = re.search(r"<figure.*?</figure>", view.cards.html, re.DOTALL)
    assert figure is not None
    picture = spark_html(RunSource(run), Curve("kl", 21, 30), 30)
    assert "shaded: steps 21 to 30" in picture
    left, width = (
        float(re.search(rf" {name}='([\d.]+)'", picture).group(1)) for name in ("x", "width")
    )
    # Steps 1 to 30 lie between the edges, 3 and 197.
    assert left == pytest.approx(3 + 20 / 29 * 194, abs=0.1)
    assert left + width == pytest.approx(197, abs=0.1)
    assert spark_html(RunSource(run), Curve("no such", 1, 2), 30) == ""
    assert spark_html(RunSource(run), None, 30) == ""
    accuracy = spark_html(RunSource(run), Curve(ACCURACY, 0, 30), 30)
    assert accuracy.count("<circle") == len(run.evaluations())


def test_a_gap_and_a_level_line_are_drawn(tmp_path: Path) -> None:
    course = [1.0, 2.0, float("nan"), 4.0, 5.0]
    run = make_run(tmp_path / "run", steps=5, metrics={"kl": course, "loss": 2.0})
    gap = spark_html(RunSource(run), Curve("kl", 1, 5), 5)
    assert gap.count("<polyline") == 2
    level = spark_html(RunSource(run), Curve("loss", 1, 5), 5)
    assert "nan" not in level + gap
    assert set(re.findall(r",([\d.]+)", level.split("points='")[1].split("'")[0])) == {"22.0"}


def test_the_badge_counts_what_is_ill(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **BAD)
    view = DoctorView()
    assert view.count([RunSource(run)], None) == "Doctor ✖2 ▲1"
    assert view.count([RunSource(run)], 2) == "Doctor"
    assert view.count([RunSource(make_run(tmp_path / "well", steps=2))], None) == "Doctor"
    assert DoctorView.title == "Doctor"


def test_the_dashboards_tab_has_the_badge(tmp_path: Path) -> None:
    dashboard = Dashboard(make_run(tmp_path / "run", **BAD))
    place = list(dashboard.pages).index("doctor")
    assert dashboard.tabs.get_title(place) == "Doctor ✖2 ▲1"
    dashboard.show_step(2)
    assert dashboard.tabs.get_title(place) == "Doctor"
    dashboard.close()


def test_the_badge_of_a_run_that_goes_on_is_counted_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = growing_run(tmp_path / "run", status="running")
    growing.add(5)
    source, view, counted = RunSource(growing.run), DoctorView(), []

    def counting(*given: object) -> list[object]:
        counted.append(given)
        return []

    monkeypatch.setattr("workbench.widgets.base.diagnoses.diagnose", counting)
    monkeypatch.setattr("workbench.widgets.base.diagnoses.PATIENCE", 1e9)
    for _ in range(5):
        growing.add(1)
        source.refresh()
        view.count([source], None)
    assert len(counted) == 1
    growing.end()
    monkeypatch.setattr(source, "status", "finished")
    view.count([source], None)
    assert len(counted) == 2


def test_no_small_print() -> None:
    sizes = [int(size) for size in re.findall(r"font-size:\s*(\d+)px", DOCTOR_CSS)]
    assert sizes
    assert min(sizes) >= 12


def test_a_stored_run_needs_no_torch(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import sys; from workbench.widgets.doctor.view import DoctorView; from "
        "workbench.widgets.base.source import RunSource; "
        "v = DoctorView(); v.show([RunSource(sys.argv[1])], None); print('torch' in sys.modules, "
        "len(v.cards.html) > 500)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]
