"""The exported page: self-contained, complete, and inert."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inert_html import HOSTILE
from made_runs import make_run

from workbench.course.recorded import recorded
from workbench.doctor import diagnose
from workbench.runs import Run
from workbench.widgets.base.html_file import HtmlFileError
from workbench.widgets.export_html import export_html
from workbench.widgets.tokens.step import TokenStep


def without_plotly(page: str) -> str:
    """The page less plotly.js itself, the first script."""
    start = page.index("<script>")
    return page[:start] + page[page.index("</script>", start) :]


def charts_of(page: str) -> list[dict[str, Any]]:
    """The charts in the page's data."""
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page)
    assert found is not None
    charts: list[dict[str, Any]] = json.loads(found.group(1))
    return charts


def test_the_page_holds_curves_groups_words_and_settings(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=20, name="tried & true")
    page = export_html(run, tmp_path / "run.html").read_text()
    body = without_plotly(page)
    assert body.count("data-chart=") == len(charts_of(page)) >= 9
    assert set(re.findall(r"<option>(\d+)</option>", body)) >= {"1", "20"}
    assert "tried &amp; true" in body
    assert "learning_rate" in body
    headings = re.findall(r"<h2 id=\"([\w-]+)-title\">", body)
    assert headings == ["doctor-0", "curves", "groups", "best-paid", "settings"]
    assert re.findall(r'<a href="#([\w-]+)">', body) == headings
    assert all(f'<section id="{name}"' in body for name in headings)


def test_the_best_paid_answers_are_in_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=4, texts=lambda step: ["<b>the same</b>"] * 16)
    body = without_plotly(export_html(run, tmp_path / "p.html").read_text())
    part = body[body.index(">Best-paid answers</h2>") :]
    assert "&lt;b&gt;the same&lt;/b&gt;" in part
    assert "64 times<br>to 16 problems" in part


@pytest.mark.parametrize(
    ("steps", "prompts", "said"),
    [
        (20, 9, "12 of 20 steps, and of each step the first 8 of 9 groups"),
        (3, 2, "3 of 3 steps, and of each step the first 2 of 2 groups"),
    ],
)
def test_the_page_says_how_much_of_the_run_it_holds(
    steps: int, prompts: int, said: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", steps=steps, prompts=prompts, group=2)
    assert said in without_plotly(export_html(run, tmp_path / "p.html").read_text())


def test_nothing_is_asked_from_outside(tmp_path: Path) -> None:
    body = without_plotly(
        export_html(make_run(tmp_path / "run", steps=5), tmp_path / "p.html").read_text()
    )
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", body)


def test_texts_of_a_model_are_inert(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        steps=2,
        prompts=2,
        group=4,
        texts=lambda step: [HOSTILE[i % len(HOSTILE)] for i in range(8)],
    )
    body = without_plotly(export_html(run, tmp_path / "p.html").read_text())
    assert "<script>alert" not in body
    assert "onerror=" not in re.sub(r"&lt;.*?&gt;", "", body)


def test_several_runs_are_compared_in_one_page(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / n, steps=5, name=n) for n in ("first", "second")]
    body = without_plotly(export_html(runs, tmp_path / "p.html").read_text())
    assert "Doctor: first" in body
    assert "Doctor: second" in body


def test_a_run_without_steps_still_makes_a_page(tmp_path: Path) -> None:
    page = export_html(make_run(tmp_path / "run", steps=0), tmp_path / "p.html").read_text()
    assert "No completions were kept" in page


def test_the_doctors_cards_are_in_the_page_without_buttons(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=30, metrics={"kl": 30.0})
    body = without_plotly(export_html(run, tmp_path / "p.html").read_text())
    keys = re.findall(r"<li class='wb-finding [\w-]+' data-key='(\w+)'>", body)
    assert keys == [finding.key for finding in diagnose(run)]
    assert "kl_high" in keys
    assert "<svg role='img' aria-label='kl up to step 30" in body
    assert "<button" not in body


def test_the_tokens_of_a_kept_step_are_coloured_and_titled(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    body = without_plotly(export_html(run, tmp_path / "p.html").read_text())
    step = body[body.index('data-step="3"') :]
    row = TokenStep(3, run.batch(3), run.samples(3)).telling_row
    pane = re.search(rf'<div class="wb-dim">row {row} .*?</div></div>', step, re.DOTALL)
    assert pane is not None
    assert pane.group().count('<span class="t ') == run.batch(3)["lengths_B"][row]
    assert re.search(r'title="[+−][\d.e−]+, probability 0\.\d+"', pane.group())
    without = make_run(tmp_path / "without", steps=3, keep_tokens=False)
    body = without_plotly(export_html(without, tmp_path / "q.html").read_text())
    assert '<span class="t ' not in body


def test_a_fault_is_told_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", steps=2)
    assert "injected" not in without_plotly(export_html(run, tmp_path / "q.html").read_text())
    told = replace(run.meta, environment={**run.meta.environment, "fault": "<advantage_sign>"})
    monkeypatch.setattr(Run, "meta", told)
    body = without_plotly(export_html(run, tmp_path / "p.html").read_text())
    said = body.index("a fault was injected on purpose: &lt;advantage_sign&gt;")
    assert said < body.index("<nav")


def test_only_the_pages_own_scripts_may_run(tmp_path: Path) -> None:
    page = export_html(make_run(tmp_path / "run", steps=2), tmp_path / "p.html").read_text()
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy is not None
    assert page.index(policy.group()) < page.index("<script")
    rules = dict(rule.split(" ", 1) for rule in policy.group(1).split("; "))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    ]
    assert rules["script-src"].split() == digests
    assert len(digests) == 2


def test_a_large_run_stays_below_six_megabytes(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        steps=13,
        prompts=8,
        group=32,
        tokens=64,
        texts=lambda step: [f"{row} <b>&</b> " + "word " * 200 for row in range(256)],
    )
    page = export_html(run, tmp_path / "p.html")
    assert page.stat().st_size <= 6_000_000
    body = without_plotly(page.read_text())
    said = re.search(r"of each step the first (\d+)(?: to \d+)? of 8 groups", body)
    assert said is not None
    assert body.count("<b>Group ") >= 12 * int(said.group(1))


def test_a_thinned_record_shows_the_steps_that_it_kept(tmp_path: Path) -> None:
    page = without_plotly(export_html(recorded("hacked"), tmp_path / "p.html").read_text())
    assert "the groups of 12 of 60 steps" in page


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    with pytest.raises(HtmlFileError, match="cannot be written: No such file"):
        export_html(run, tmp_path / "nowhere" / "p.html")
