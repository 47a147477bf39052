"""Views of records that were damaged or crafted: they open, or the record's error is what one
gets; no page ends in another exception."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import pytest
from runs.crafted import CRAFTED, crafted_record, small_record, unsealed

from workbench.errors import WorkbenchError
from workbench.runs import RunWarning
from workbench.widgets import Dashboard
from workbench.widgets.export_html import export_html

OTHER_ERRORS = ("KeyError", "TypeError", "IndexError", "AttributeError", "RecursionError")


def look_at(file: Path) -> list[str]:
    """Every page at the last step and at the second; the errors of other kinds that it shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        try:
            dashboard = Dashboard(file)
        except WorkbenchError:
            return []
        shown = []
        for step in (dashboard.step.max, 2):
            for i, _ in enumerate(dashboard.views):
                dashboard.tabs.selected_index = i
                dashboard.show_step(step)
                messages = [dashboard.error.value, getattr(dashboard.view, "message", None)]
                shown += [str(getattr(message, "value", message)) for message in messages]
        return [text for text in shown if any(error in text for error in OTHER_ERRORS)]


@pytest.mark.parametrize("table", ["steps", "evaluations", "knobs", "events", "samples", "arrays"])
def test_every_page_opens_on_a_run_with_a_damaged_step(tmp_path: Path, table: str) -> None:
    file = small_record(tmp_path)
    column = {"knobs": "who", "events": "text", "arrays": "dtype", "evaluations": "n"}
    with closing(sqlite3.connect(file)) as db, db:
        changed = column.get(table, "time" if table == "steps" else "reward")
        db.execute(f"UPDATE {table} SET {changed} = {changed} || '1' WHERE step = 2")
    assert look_at(file) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        page = export_html([file], tmp_path / "page.html").read_text()
    if table in ("samples", "knobs"):
        assert f"damaged at step 2, in the table {table}" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", CRAFTED)
def test_no_page_of_a_crafted_record_ends_in_another_exception(tmp_path: Path, name: str) -> None:
    origin = small_record(tmp_path / "whole")
    unsealed(origin)
    file = tmp_path / "run.sqlite"
    crafted_record(origin, file, name)
    assert look_at(file) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        try:
            export_html([origin, file], tmp_path / "page.html")
        except WorkbenchError:
            return
