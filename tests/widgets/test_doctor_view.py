"""The doctor's page, drawn without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_runs import growing_run, make_run

from workbench.doctor import SEVERITIES, diagnose
from workbench.widgets.base.source import RunSource
from workbench.widgets.doctor_view import DOCTOR_CSS, SIGNS, DoctorView

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

    VOID = ("br", "img", "input", "hr")

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
    return re.findall(r"data-key='(\w+)'", view.cards.value)


def test_a_card_for_each_finding_the_worst_first(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **BAD)
    view, findings = drawn(run), diagnose(run)
    assert keys(view) == [f.key for f in findings]
    words = re.findall(r"</span>(problem|warning|note|good)</div>", view.cards.value)
    assert words == [f.severity for f in findings]
    assert words == sorted(words, key=SEVERITIES.index)
    assert "the loss is NaN" in view.cards.value
    assert view.cards.value.count("Try:") == sum(bool(f.try_) for f in findings)
    assert view.cards.value.count("Evidence:") == len(findings)


def test_severity_shows_by_word_and_sign_as_well_as_colour() -> None:
    assert set(SIGNS) == set(SEVERITIES)
    signs, colours = zip(*SIGNS.values(), strict=True)
    assert len(set(signs)) == len(set(colours)) == 4


def test_the_head_counts_the_findings(tmp_path: Path) -> None:
    text = drawn(make_run(tmp_path / "run", **BAD)).cards.value
    assert "step 30: <span role='status'>2 problems, " in text
    assert "1 warning," in text


def test_empty_states(tmp_path: Path) -> None:
    assert "No run is shown yet." in DoctorView().cards.value
    assert keys(drawn(make_run(tmp_path / "none", steps=0))) == ["no_steps"]
    quiet = make_run(
        tmp_path / "quiet", steps=2, metrics={"learning_rate": 1e-3}, evaluations={0: (60, 200)}
    )
    assert diagnose(quiet) == []
    assert (
        "step 2: <span role='status'>nothing out of the ordinary so far."
        in drawn(quiet).cards.value
    )


def test_an_earlier_step(tmp_path: Path) -> None:
    view = drawn(make_run(tmp_path / "run", **BAD), step=12)
    assert "step 12 (as it stood then; the run goes on to step 30)" in view.cards.value
    assert "run_failed" not in keys(view)
    assert "kl_high" in keys(view)


def test_several_runs_are_named_and_a_shorter_one_shows_its_last_step(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / n, name=n, steps=s)
        for n, s in (("first", 30), ("second", 10), ("c", 3), ("d", 3), ("e", 3))
    ]
    text = drawn(*runs[:2], step=20).cards.value
    assert text.index("<b>first</b>, step 20") < text.index("<b>second</b>, step 10:")
    assert "Shown are the first 4 of 5 runs." in drawn(*runs).cards.value


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
    html = view.cards.value
    assert {"run_failed", "component_never_pays", "step_time"} <= set(keys(view))
    tags = _Tags(html)
    assert set(tags.tags) <= {"div", "p", "b", "span", "ul", "li"}
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert not set("\x1b\u202e\u200b") & set(html)
    assert "U+202E" in html
    assert len(html) < 60_000


def test_an_error_is_shown_and_gone_with_the_next_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = RunSource(make_run(tmp_path / "run"))
    view = DoctorView()
    view.show([source], None)
    good = view.cards.value

    def fails(*_: object) -> None:
        raise RuntimeError("<b>no such column</b>")

    monkeypatch.setattr("workbench.widgets.doctor_view.diagnose", fails)
    view.show([source], None)
    assert "RuntimeError" in view.message.value
    assert "&lt;b&gt;no such column" in view.message.value
    assert view.cards.value == ""
    monkeypatch.undo()
    view.show([source], None)
    assert (view.message.value, view.cards.value) == ("", good)


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
    assert "step 5:" in view.cards.value


def test_the_same_findings_are_not_sent_again(tmp_path: Path) -> None:
    source, view, sent = RunSource(make_run(tmp_path / "run")), DoctorView(), []
    view.show([source], None)
    view.cards.observe(sent.append, "value")
    view.show([source], None)
    assert sent == []


def test_no_small_print() -> None:
    sizes = [int(size) for size in re.findall(r"font-size:\s*(\d+)px", DOCTOR_CSS)]
    assert sizes
    assert min(sizes) >= 12


def test_a_stored_run_needs_no_torch(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import sys; from workbench.widgets.doctor_view import DoctorView; from "
        "workbench.widgets.base.source import RunSource; "
        "v = DoctorView(); v.show([RunSource(sys.argv[1])], None); print('torch' in sys.modules, "
        "len(v.cards.value) > 500)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]
