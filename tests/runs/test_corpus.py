"""Records of every released version open, with the figures that they had, on every page."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from runs.crafted import unsealed
from runs.make_corpus import CORPUS, LARGEST, figures_of

from workbench.runs import Run, RunWriter, StepRecord, export_csv, list_runs
from workbench.runs.store.schema import FORMAT_VERSION, LATER_TABLES
from workbench.widgets import Dashboard
from workbench.widgets.export_html import export_html

RECORDS = sorted(CORPUS.glob("*.sqlite"))


def same(a: Any, b: Any) -> bool:
    """Equal plain values; NaN is NaN."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def expected(record: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.with_suffix(".json").read_text())
    return found


@pytest.fixture(params=RECORDS, ids=lambda record: record.stem)
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of a record, to be read and written, and what it said when it was made."""
    record: Path = request.param
    assert record.stat().st_size <= LARGEST
    (tmp_path / "run").mkdir()
    return Path(shutil.copy(record, tmp_path / "run" / "run.sqlite")), expected(record)


def assert_says(file: Path, figures: dict[str, Any]) -> None:
    found = figures_of(Run.open(file))
    assert [name for name in figures if not same(found[name], figures[name])] == []
    assert Run.open(file).damage() == []


def test_there_is_one() -> None:
    assert RECORDS
    assert all(record.with_suffix(".json").is_file() for record in RECORDS)


def test_it_gives_its_figures(copied: tuple[Path, dict[str, Any]]) -> None:
    assert_says(*copied)
    assert len(list_runs(copied[0].parent)) == 1


def test_it_is_shown_and_exported(copied: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    run = Run.open(copied[0])
    dashboard = Dashboard(run)
    for place, _ in enumerate(dashboard.views):
        dashboard.tabs.selected_index = place
        dashboard.show_step(run.last_step())
        assert dashboard.error.value == ""
    assert export_html(run, tmp_path / "page.html").stat().st_size > 10_000
    assert len(export_csv(run, tmp_path / "csv")) == 8


def test_it_is_gone_on_with_and_branched(
    copied: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The way up: what an earlier version lacks is made by the first writer that opens it."""
    file, figures = copied
    last = figures["steps"][-1]
    RunWriter.branch(file.parent, tmp_path / "branch", last).finish()
    assert Run.open(tmp_path / "branch").steps()["reward"].tolist() == figures["reward"]
    with RunWriter.resume(file.parent, last) as writer:
        writer.write_step(StepRecord(step=last + 1, metrics={"reward": 1.0}))
        writer.finish()
    assert Run.open(file).steps()["reward"].tolist() == [*figures["reward"], 1.0]


def test_it_opens_also_as_it_was_before_later_tables(
    copied: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The forms that format 1 had before the first release: without checksums, without evaluations
    with samples."""
    file, figures = copied
    with closing(sqlite3.connect(file)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if "checksums" in tables:
        unsealed(file)
    assert_says(file, figures)
    with closing(sqlite3.connect(file)) as db, db:
        for table in LATER_TABLES:
            db.execute(f"DROP TABLE IF EXISTS {table}")
    assert_says(file, figures | {"sampled": [], "answers": []})
    with RunWriter.resume(file.parent, figures["steps"][-1]) as writer:
        writer.finish()
    # The writer notes that it was gone on with.
    after = {name: value for name, value in figures.items() if name != "events"}
    assert_says(file, after | {"sampled": [], "answers": []})


def test_a_record_of_a_later_format_is_refused_with_what_to_do(
    copied: tuple[Path, dict[str, Any]],
) -> None:
    file, _ = copied
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    with pytest.raises(Exception, match=r"format version 2; this workbench reads up to 1. Update"):
        _ = Run.open(file).meta
