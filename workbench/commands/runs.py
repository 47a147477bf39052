"""`workbench runs` and `workbench export`: looking at stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from workbench.commands.printing import line_of, say, say_json, terminal
from workbench.runs import Run, export_csv, list_runs

if TYPE_CHECKING:
    import pandas as pd


COLUMNS = {
    "path": "run",
    "method": "method",
    "status": "status",
    "steps": "steps",
    "accuracy_first": "before",
    "accuracy_last": "after",
    "reward_last": "reward",
}
"""Columns shown, and their headings: before and after are held-out accuracies."""


def runs_command(folder: Path, as_json: bool) -> None:
    """See `workbench runs --help`."""
    missing = folder == Path("runs") and not folder.exists()
    rows = [] if missing else _rows(list_runs(folder))
    if as_json:
        say_json(rows)
        return
    if not rows:
        say(f"no runs in {folder}. Start one: workbench train")
        return
    table = Table(box=None)
    for heading in COLUMNS.values():
        table.add_column(heading, no_wrap=True, overflow="fold")
    for row in rows:
        cells = {name: _text(name, row[name]) for name in COLUMNS}
        # A run that makes a mistake on purpose must not pass for another one.
        if row["fault"]:
            cells["status"] += f", ▲ fault injected: {row['fault']}"
        table.add_row(*(line_of(cells[name]) for name in COLUMNS))
    terminal().print(table)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON values, None where there is nothing; a run in a folder goes by the
    folder."""
    frame = frame.assign(started=frame["started"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    cells = frame.astype(object)
    rows: list[dict[str, Any]] = cells.where(frame.notna(), None).to_dict("records")
    for row in rows:
        row["path"] = _shown(row["path"])
    return rows


def _shown(path: str) -> str:
    """A run as a person types it: its folder, from the working directory where it lies below."""
    place = Path(path)
    if place.name == "run.sqlite":
        place = place.parent
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1%}" if name.startswith("accuracy") else f"{value:.3g}"
    return str(value)


def export_html_command(runs: list[Path], out: Path | None) -> None:
    """See `workbench export html --help`."""
    from workbench.widgets.export_html import export_html

    say(f"written to {export_html([*runs], out or beside(runs[0], '.html'))}")


def export_csv_command(run: Path, out: Path | None) -> None:
    """See `workbench export csv --help`."""
    folder = out or beside(run, "-csv")
    export_csv(Run.open(run), folder)
    say(f"written to {folder}")


def beside(run: Path, ending: str) -> Path:
    """The usual place of what is made of a run: beside it, by its name."""
    plain = Path(str(run).removesuffix(".sqlite").rstrip("/"))
    return plain.with_name(plain.name + ending)
