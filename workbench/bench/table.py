"""The two tables, published and measured, as plain rows, as HTML and as an object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.bench.measured import Measured, read_measured
from workbench.bench.published import FILE, BenchError, Published, Source, read_published
from workbench.widgets.base.html_file import write_page
from workbench.widgets.base.text import safe_text

PUBLISHED_TITLE = "PUBLISHED: what others report. Nothing here was measured with this workbench."
MEASURED_TITLE = "MEASURED: with this workbench (workbench eval, workbench train)."
NOTHING_MEASURED = (
    "Nothing was measured yet. One row of your own: workbench eval --policy {policy} --task {task} "
    "--problems {n} --json > runs/mine.json"
)
MEASURED_COLUMNS = ("policy", "task", "figure", "%", "95 %", "n", "date", "machine")
CSS = (
    ".wb-bench{border-collapse:collapse;margin:.5em 0 1.5em}"
    ".wb-bench caption{text-align:left;font-weight:bold;padding:.3em 0}"
    ".wb-bench td,.wb-bench th{padding:.15em .8em;text-align:left;vertical-align:top}"
    ".wb-bench td.wb-score{text-align:right}"
    ".wb-published{border-left:4px dashed #8a6d3b}.wb-measured{border-left:4px solid #2e7d32}"
)
"""The two kinds differ in their line as well as in their words, for who sees no colours."""


@dataclass(frozen=True)
class BenchmarkTable:
    """What others have published and what was measured here. Shows as two tables in a notebook."""

    published: tuple[Published, ...]
    measured: tuple[Measured, ...]

    unreadable: tuple[str, ...] = ()
    """Files that look like records and cannot be read, a sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what `workbench bench --json` prints."""
        return {
            "published": [row.to_dict() for row in self.published],
            "measured": [row.to_dict() for row in self.measured],
            "unreadable": list(self.unreadable),
        }

    @property
    def sources(self) -> list[Source]:
        """The sources of the published rows, each once; the number of a row is its place here."""
        return list(dict.fromkeys(row.source for row in self.published))

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks of the published rows."""
        return list(dict.fromkeys(name for row in self.published for name in row.scores))

    def published_columns(self, benchmarks: Sequence[str] | None = None) -> tuple[str, ...]:
        """The headings of `published_cells`."""
        scores = (f"{name} %" for name in benchmarks or self.benchmarks)
        return ("model", "trained by", *scores, "answers", "source")

    def published_cells(self, benchmarks: Sequence[str] | None = None) -> list[tuple[str, ...]]:
        """The published rows as text, with the scores of these benchmarks; None: of all."""
        numbers = {source: i for i, source in enumerate(self.sources, 1)}
        return [
            (
                row.model,
                row.trained,
                *(_percent(row.scores.get(name)) for name in benchmarks or self.benchmarks),
                row.answers,
                f"[{numbers[row.source]}]",
            )
            for row in self.published
        ]

    def measured_cells(self) -> list[tuple[str, ...]]:
        """The measured rows as text, in the order of `MEASURED_COLUMNS`."""
        return [
            (
                row.policy,
                row.task,
                row.figure,
                _percent(row.value),
                f"{row.low:.1f} to {row.high:.1f}",
                str(row.n),
                row.date or "not recorded",
                row.machine or "not recorded",
            )
            for row in self.measured
        ]

    def notes(self) -> list[str]:
        """What a reader must know before he compares, a sentence for each row that has one."""
        return [
            f"{row.model} ({row.trained}, {row.answers}): {row.note}"
            for row in self.published
            if row.note
        ]

    def source_lines(self) -> list[str]:
        """The sources with their numbers."""
        return [
            f"[{number}] {source.title}, {source.url}, read {source.read}"
            for number, source in enumerate(self.sources, 1)
        ]

    def how_to_measure(self) -> str:
        """A command that would add a row; for a model that somebody has published figures of."""
        row = next((row for row in self.published if row.policy), None)
        policy, task = ("embedded", "arithmetic") if row is None else (row.policy, "gsm8k")
        n = 1000 if row is None else 1319
        return NOTHING_MEASURED.format(policy=policy, task=task, n=n)

    def _repr_html_(self) -> str:
        measured = html_table("measured", MEASURED_TITLE, MEASURED_COLUMNS, self.measured_cells())
        if not self.measured:
            measured += f"<p>{safe_text(self.how_to_measure())}</p>"
        versions = sorted({row.versions for row in self.measured if row.versions})
        cells = self.published_cells()
        published = html_table("published", PUBLISHED_TITLE, self.published_columns(), cells)
        below = "".join(f"<p>{safe_text(line)}</p>" for line in [*versions, *self.unreadable])
        notes = "".join(f"<li>{safe_text(note)}</li>" for note in self.notes())
        theirs = f"{published}<ul>{notes}</ul>{_links(self.sources)}"
        return f"<style>{CSS}</style>{measured}{below}{theirs}"

    def save_html(self, path: str | Path) -> Path:
        """Write a page that needs nothing else to be read; returns where it is."""
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            "<title>Benchmarks: published and measured</title></head>"
            f'<body style="font-family:sans-serif">{self._repr_html_()}</body></html>'
        )
        return write_page(path, page)


def benchmark_table(
    measured: Iterable[str | Path] = (),
    *,
    benchmark: str | None = None,
    published: str | Path = FILE,
) -> BenchmarkTable:
    """The table of published figures, and of those measured in `measured`: files and folders with
    results of `workbench eval --json` and run records. `benchmark` keeps one, such as "GSM8K", of
    both. Raises `BenchError`."""
    theirs = read_published(published)
    ours, unreadable = read_measured(measured)
    if benchmark is not None:
        theirs, ours = _of(benchmark, theirs, ours)
    return BenchmarkTable(tuple(theirs), tuple(ours), tuple(unreadable))


def _of(
    benchmark: str, theirs: list[Published], ours: list[Measured]
) -> tuple[list[Published], list[Measured]]:
    """The rows of one benchmark, with its scores alone. Raises `BenchError`."""
    names = [*(name for row in theirs for name in row.scores), *(row.task for row in ours)]
    same = {name for name in names if name.casefold() == benchmark.casefold()}
    if not same:
        known = ", ".join(dict.fromkeys(names))
        raise BenchError(f"benchmark {benchmark!r:.80} is unknown. Choose one of {known}.")
    theirs = [
        replace(row, scores={name: row.scores[name] for name in same & row.scores.keys()})
        for row in theirs
        if same & row.scores.keys()
    ]
    return theirs, [row for row in ours if row.task in same]


def _percent(value: float | None) -> str:
    """At most two digits; nothing where there is no figure."""
    return "" if value is None else f"{value:.2f}".removesuffix("0")


def html_table(kind: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{safe_text(name)}</th>" for name in columns)
    classes = ["wb-score" if name.endswith("%") else "" for name in columns]
    body = "".join(f"<tr>{_cells(row, classes)}</tr>" for row in rows)
    return (
        f'<table class="wb-bench wb-{kind}"><caption>{safe_text(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cells(row: Sequence[str], classes: Sequence[str]) -> str:
    return "".join(
        f'<td class="{name}">{safe_text(cell)}</td>'
        for cell, name in zip(row, classes, strict=True)
    )


def _links(sources: Sequence[Source]) -> str:
    items = "".join(
        f'<li>{safe_text(source.title)}: <a href="{safe_text(source.url)}">'
        f"{safe_text(source.url)}</a>, read {safe_text(source.read)}</li>"
        for source in sources
    )
    return f"<ol>{items}</ol>"
