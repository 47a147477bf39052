"""`workbench bench`, with what `workbench eval --json` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Command

TITLES = ("PUBLISHED: what others report", "MEASURED: with this workbench")


def test_a_measured_row_stands_apart_from_the_published(
    workbench: Command, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    printed = workbench("bench", cwd=tmp_path).stdout
    assert all(title in printed for title in TITLES)
    assert "Nothing was measured yet." in printed
    (tmp_path / "runs").mkdir()
    evaluated = workbench("eval", "--n", 4, "--json", cwd=tmp_path).stdout
    (tmp_path / "runs" / "mine.json").write_text(evaluated)
    published, _, measured = workbench("bench", cwd=tmp_path).stdout.partition(TITLES[1])
    assert "88.25" in published
    assert "arithmetic" not in published
    # The same command wrote the date and the machine down.
    row = next(line for line in measured.splitlines() if line.startswith("embedded"))
    result = json.loads(evaluated)
    assert result["date"][:10] in row
    assert f"{100 * result['accuracy']:.1f}" in row
    assert "torch " in measured


def test_one_object_and_one_page(workbench: Command, tmp_path: Path) -> None:
    printed = workbench("bench", "--json", "--html", "page.html", cwd=tmp_path).stdout
    [values] = [json.loads(line) for line in printed.splitlines()]
    assert values["measured"] == []
    assert all(row["source"]["url"] for row in values["published"])
    page = (tmp_path / "page.html").read_text()
    assert all(title in page for title in TITLES)


def test_a_name_in_a_file_gives_the_terminal_no_orders(workbench: Command, tmp_path: Path) -> None:
    estimate = {"value": 0.5, "interval": [0.4, 0.6], "n": 9}
    hostile = {"policy": "\x1b[2J[red]a", "task": "t", "n": 9, "greedy": estimate}
    (tmp_path / "a.json").write_text(json.dumps(hostile))
    printed = workbench("bench", "--measured", "a.json", cwd=tmp_path).stdout
    assert "\x1b" not in printed
    assert "[red]" in printed


def test_what_is_asked_wrongly_is_one_message(workbench: Command, tmp_path: Path) -> None:
    assert "is not there" in workbench("bench", "--measured", "x", cwd=tmp_path, code=2).stderr
    assert "unknown" in workbench("bench", "--benchmark", "x", cwd=tmp_path, code=2).stderr
