"""The exported page: self-contained, complete, and inert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inert_html import HOSTILE
from made_runs import make_run

from workbench.widgets.export_html import export_html


def without_plotly(page: str) -> str:
    """The page less plotly.js itself, the first script."""
    start = page.index("<script>")
    return page[:start] + page[page.index("</script>", start) :]


def test_the_page_holds_curves_groups_words_and_settings(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=20, name="tried & true")
    page = export_html(run, tmp_path / "run.html").read_text()
    body = without_plotly(page)
    assert body.count("plotly-graph-div") >= 9
    assert set(re.findall(r"<option>(\d+)</option>", body)) >= {"1", "20"}
    assert "tried &amp; true" in body
    assert "learning_rate" in body
    assert "Doctor" in body


def test_the_best_paid_answers_are_in_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=4, texts=lambda step: ["<b>the same</b>"] * 16)
    body = without_plotly(export_html(run, tmp_path / "p.html").read_text())
    part = body[body.index("<h2>Best-paid answers</h2>") :]
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
