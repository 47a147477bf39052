"""`workbench runs` and `workbench export`: looking at stored runs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from workbench.errors import WorkbenchError
from workbench.runs import Run, export_csv, list_runs


class ExportError(WorkbenchError, ValueError):
    """An export that was asked for wrongly."""


COLUMNS = {
    "path": "run",
    "status": "status",
    "steps": "steps",
    "accuracy_first": "before",
    "accuracy_last": "after",
    "reward_last": "reward",
}
"""Columns shown, and their headings: before and after are held-out accuracies."""


def runs_command(folder: Path, as_json: bool) -> None:
    """See `workbench runs --help`."""
    if folder == Path("runs") and not folder.exists():
        frame = None
    else:
        frame = list_runs(folder)
        frame["path"] = frame["path"].map(_shown)
    if as_json:
        print("[]" if frame is None else frame.to_json(orient="records", date_format="iso"))
        return
    console = Console(highlight=False)
    if frame is None or frame.empty:
        console.print(f"no runs in {folder}. Start one: workbench train")
        return
    table = Table(box=None)
    for heading in COLUMNS.values():
        table.add_column(heading, no_wrap=True, overflow="fold")
    for row in frame.to_dict("records"):
        table.add_row(*(_text(name, row.get(name)) for name in COLUMNS))
    console.print(table)


def _shown(path: str) -> str:
    """A run as a person types it: its folder, from the working directory where it lies below."""
    place = Path(path)
    if place.name == "run.sqlite":
        place = place.parent
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def _text(name: str, value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.1%}" if name.startswith("accuracy") else f"{value:.3g}"
    return str(value)


def export_command(kind: str, runs: list[Path], out: Path | None) -> None:
    """See `workbench export --help`."""
    if kind not in ("html", "csv"):
        raise ExportError(f"{kind!r} is no export format. Choose html or csv.")
    first = Path(str(runs[0]).removesuffix(".sqlite").rstrip("/"))
    if kind == "html":
        from workbench.widgets.export_html import export_html

        written = export_html([*runs], out or first.with_name(first.name + ".html"))
    else:
        if len(runs) > 1:
            raise ExportError(f"csv takes one run at a time, {len(runs)} were named.")
        written = out or first.with_name(first.name + "-csv")
        export_csv(Run.open(runs[0]), written)
    Console(highlight=False).print(f"written to {written}")
