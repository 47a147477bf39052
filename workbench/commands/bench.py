"""`workbench bench`: what others have published beside what was measured here, kept apart."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from workbench.bench import BenchmarkTable, benchmark_table
from workbench.bench.table import (
    MEASURED_COLUMNS,
    MEASURED_TITLE,
    PUBLISHED_TITLE,
)
from workbench.commands.printing import line_of, say, say_json, terminal

WIDE, FEW = 120, 2
"""Columns of a terminal that shows all benchmarks; in a narrower one there is room for so many."""

USUAL_FOLDER = Path("runs")
"""Where runs and results lie unless somebody says otherwise."""


def bench_command(
    measured: list[Path] | None, *, benchmark: str | None, html: Path | None, as_json: bool
) -> None:
    """See `workbench bench --help`."""
    usual = [USUAL_FOLDER] if USUAL_FOLDER.is_dir() else []
    made = benchmark_table(measured or usual, benchmark=benchmark)
    if html is not None:
        made.save_html(html)
    if as_json:
        say_json(made.to_dict())
        return
    _print(made)
    if html is not None:
        say(f"written to {html}")


def _print(made: BenchmarkTable) -> None:
    console = terminal()
    # What is one's own comes last: it is what stands above the prompt.
    shown = made.benchmarks if console.width >= WIDE else made.benchmarks[:FEW]
    columns = made.published_columns(shown)
    table = drawn(PUBLISHED_TITLE, columns, made.published_cells(shown))
    console.print(table)
    lines = [*made.source_lines(), *made.notes()]
    if left_out := made.benchmarks[len(shown) :]:
        lines.append(f"Not shown, for want of room: {', '.join(left_out)} (--benchmark, --html).")
    for line in lines:
        say(line, console, style="dim")
    say("", console)
    if made.measured:
        table = drawn(MEASURED_TITLE, MEASURED_COLUMNS, made.measured_cells())
        console.print(table)
        for versions in sorted({row.versions for row in made.measured if row.versions}):
            say(versions, console, style="dim")
    else:
        say(MEASURED_TITLE, console)
        say(made.how_to_measure(), console, copied=True)
    for problem in made.unreadable:
        say(f"not read: {problem}", console)


def drawn(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """Rows of plain text as a table for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0), title=line_of(title), title_justify="left")
    for place, name in enumerate(columns):
        # A model's name is not broken, so that it can be searched for.
        table.add_column(line_of(name), overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(line_of(cell) for cell in row))
    return table
