"""The table of methods: accuracy before and after with intervals over the seeds, and the curves."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench.cases import CASES
from workbench.bench.published import BenchError
from workbench.bench.table import CSS, html_table
from workbench.config import METHODS
from workbench.experiment.statistics import mean_interval
from workbench.widgets.base.html_file import write_page
from workbench.widgets.base.text import safe_text

SHIPPED = Path(__file__).parents[1] / "assets" / "methods.json"
"""What `workbench bench methods --json` printed: date and machine stand in it."""
COLUMNS = ("method", "samples", "before %", "after %", "95 %", "lowest %", "highest %", "s/step")


@dataclass(frozen=True)
class MethodRow:
    """One row: a method with all its seeds."""

    name: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    """Held-out greedy accuracy of each seed, strict."""
    steps: tuple[int, ...]
    curve: tuple[float, ...]
    """The mean over the seeds at each of the steps."""
    problems: int
    seconds_per_step: float

    @property
    def mean(self) -> float:
        """Of the accuracy after training, over the seeds."""
        return statistics.mean(self.after)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of that mean, by Student's t over the seeds; not known from one seed."""
        found = mean_interval(self.after, resolution=1 / self.problems)
        if found.n < 2:
            return math.nan, math.nan
        return max(found.low, 0.0), min(found.high, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        low, high = self.interval
        known = not math.isnan(low)
        return {
            "method": self.name,
            "words": CASES[self.name].words,
            "coefficient": METHODS[CASES[self.name].method].coefficient,
            "before": list(self.before),
            "after": list(self.after),
            "mean_after": self.mean,
            "interval": [low, high] if known else None,
            "seeds": len(self.after),
            "problems": self.problems,
            "steps": list(self.steps),
            "curve": list(self.curve),
            "seconds_per_step": self.seconds_per_step,
        }


@dataclass(frozen=True)
class MethodsTable:
    """All rows. Shows as a table in a notebook; `figure()` draws the curves."""

    rows: tuple[MethodRow, ...]
    about: dict[str, Any]
    """Date, machine, versions, threads, and what was run."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what `workbench bench methods --json` prints."""
        return {"about": self.about, "rows": [row.to_dict() for row in self.rows]}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, in the order of `COLUMNS`."""
        return [_cells(row) for row in self.rows]

    def _repr_html_(self) -> str:
        title = f"Methods on the embedded policy: {self.summary()}"
        return f"<style>{CSS}</style>" + html_table("measured", title, COLUMNS, self.cells())

    def summary(self) -> str:
        """What was run, in a line."""
        first = self.rows[0]
        # Weights that were measured once and are no longer those that ship.
        policy = f"; policy: {self.about['policy']}" if "policy" in self.about else ""
        return (
            f"{first.steps[-1]} steps, {len(first.after)} seeds, {first.problems} held-out "
            f"problems, greedy, strict; {self.about.get('date', 'date not recorded')}, "
            f"{self.about.get('cpu', 'machine not recorded')}{policy}"
        )

    def figure(self) -> Any:
        """The mean accuracy of each row over the steps, a plotly figure."""
        import plotly.graph_objects as go

        figure = go.Figure()
        for row in self.rows:
            dash = "dot" if row.name == "control" else "solid"
            figure.add_scatter(
                x=list(row.steps),
                y=list(row.curve),
                name=row.name,
                mode="lines+markers",
                line={"dash": dash},
            )
        figure.update_layout(
            xaxis_title="step",
            yaxis_title="held-out accuracy",
            yaxis_tickformat=".0%",
            template="plotly_white",
        )
        return figure

    def save_html(self, path: str | Path) -> Path:
        """Write table and curves as a page that needs nothing else; returns where it is."""
        drawing = self.figure().to_html(full_html=False, include_plotlyjs=True)
        words = "".join(
            f"<li><b>{safe_text(row.name)}</b>: {safe_text(CASES[row.name].words)}; each token's "
            f"coefficient: {safe_text(METHODS[CASES[row.name].method].coefficient)}</li>"
            for row in self.rows
        )
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<title>Methods on the embedded policy</title></head><body style="font-family:'
            f'sans-serif">{self._repr_html_()}{drawing}<ul>{words}</ul></body></html>'
        )
        return write_page(path, page)


def recorded_methods(path: str | Path = SHIPPED) -> MethodsTable:
    """The matrix that ships with the package, or one that `--json` printed. Raises `BenchError`
    where the file is none."""
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = tuple(_row_of(row) for row in kept["rows"])
        return MethodsTable(rows, dict(kept["about"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{str(path)!r} holds no matrix of methods: {error}.") from error


def _row_of(kept: dict[str, Any]) -> MethodRow:
    return MethodRow(
        name=kept["method"],
        before=tuple(kept["before"]),
        after=tuple(kept["after"]),
        steps=tuple(kept["steps"]),
        curve=tuple(kept["curve"]),
        problems=kept["problems"],
        seconds_per_step=kept["seconds_per_step"],
    )


def methods_table(results: Sequence[dict[str, Any]], about: dict[str, Any]) -> MethodsTable:
    """The table of what `matrix.results_of` found. Raises `BenchError` where that is nothing."""
    if not results:
        raise BenchError("no run of the matrix is finished yet. Run `workbench bench methods`.")
    names = [name for name in CASES if any(one["case"] == name for one in results)]
    rows = [_row(name, [one for one in results if one["case"] == name]) for name in names]
    return MethodsTable(tuple(rows), about)


def _row(name: str, results: Sequence[dict[str, Any]]) -> MethodRow:
    steps = results[0]["steps"]
    if any(one["steps"] != steps for one in results):
        raise BenchError(
            f"the runs of {name!r} were evaluated at different steps: they are of different "
            "matrices. Name another folder with --out."
        )
    curves = zip(*(one["accuracy"] for one in results), strict=True)
    return MethodRow(
        name=name,
        before=tuple(one["accuracy"][0] for one in results),
        after=tuple(one["accuracy"][-1] for one in results),
        steps=tuple(steps),
        curve=tuple(statistics.mean(values) for values in curves),
        problems=results[0]["problems"],
        seconds_per_step=statistics.median(one["seconds_per_step"] for one in results),
    )


def _cells(row: MethodRow) -> tuple[str, ...]:
    low, high = row.interval
    between = "" if math.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"
    return (
        row.name,
        METHODS[CASES[row.name].method].sampled_from,
        f"{100 * statistics.mean(row.before):.1f}",
        f"{100 * row.mean:.1f}",
        between,
        f"{100 * min(row.after):.1f}",
        f"{100 * max(row.after):.1f}",
        f"{row.seconds_per_step:.2f}",
    )
