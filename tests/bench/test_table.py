"""The table: published and measured apart, in a notebook, on a page and as an object."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
from bench.test_measured import result

from workbench.bench import benchmark_table
from workbench.bench.published import BenchError
from workbench.widgets.base.html_file import HtmlFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.json").write_text(json.dumps(result()))
    return tmp_path


def test_the_two_kinds_are_never_in_one_table(folder: Path) -> None:
    made = benchmark_table([folder])
    tables = made._repr_html_().split("<table")[1:]
    measured, published = tables
    assert "MEASURED" in measured
    assert "me/mine" in measured
    assert "88.25" not in measured
    assert "PUBLISHED" in published
    assert "88.25" in published
    assert "me/mine" not in published.partition("</table>")[0]
    values = made.to_dict()
    assert set(values) == {"published", "measured", "unreadable"}
    json.dumps(values)


def test_one_benchmark_of_both(folder: Path) -> None:
    made = benchmark_table([folder], benchmark="gsm8k")
    assert made.benchmarks == ["GSM8K"]
    assert {row.task for row in made.measured} == {"gsm8k"}
    assert all(set(row.scores) == {"GSM8K"} for row in made.published)
    assert benchmark_table([folder], benchmark="math").measured == ()
    with pytest.raises(BenchError, match="'AIME' is unknown. Choose one of GSM8K"):
        benchmark_table([folder], benchmark="AIME")


def test_nothing_measured_says_how_to(tmp_path: Path) -> None:
    made = benchmark_table()
    assert (
        "workbench eval --policy Qwen/Qwen2.5-0.5B-Instruct --task gsm8k" in made.how_to_measure()
    )
    assert html.escape(made.how_to_measure()) in made._repr_html_()


def test_every_number_of_a_source_leads_to_it() -> None:
    made = benchmark_table()
    numbers = {cells[-1] for cells in made.published_cells()}
    assert numbers == {line.split(" ")[0] for line in made.source_lines()}
    first = made.published[0]
    assert made.source_lines()[0] == (
        f"[1] {first.source.title}, {first.source.url}, read {first.source.read}"
    )


def test_hostile_names_are_text(folder: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    hostile = result(policy=attack, task=attack, environment={"cpu": attack, "gpus": None})
    (folder / "hostile.json").write_text(json.dumps(hostile))
    made = benchmark_table([folder])
    page = made.save_html(folder / "page.html").read_text()
    for shown in (made._repr_html_(), page):
        assert "<img" not in shown
        assert html.escape(attack) in shown


def test_a_page_that_cannot_be_written_is_said(folder: Path) -> None:
    with pytest.raises(HtmlFileError, match="cannot be written: No such file"):
        benchmark_table().save_html(folder / "none" / "page.html")
