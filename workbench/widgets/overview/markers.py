"""Knob changes as vertical lines, with the names and values of what changed in a strip above the
data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from workbench.widgets.base.source import RunSource
from workbench.widgets.plots.pieces import GREY, Strip, look, marker, plot_text

PLACES = 40
"""Lines that fit side by side; changes nearer than that share one, so that dragging a slider cannot
flood a panel."""
ROWS = 2
"""Rows of labels; the newest changes come first, and what does not fit has a line only (the header
lists it)."""
LETTER = 1 / 62
"""Width of a letter as a share of the axis, in a panel of two columns at 1280 pixels."""


@dataclass
class Place:
    """The changes that one line stands for: each knob's value before the first and after the
    last."""

    step: int
    values: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def add(self, name: str, old: Any, new: Any) -> None:
        self.values[name] = (self.values.get(name, (old,))[0], new)

    def text(self, most: int = 2) -> str:
        """'beta 0.005→0.05, epsilon 0.2→0.3', inert."""
        shown = [
            f"{plot_text(name, 24)} {_value(old)}→{_value(new)}"
            for name, (old, new) in self.values.items()
        ]
        more = f", {len(shown) - most} more" if len(shown) > most else ""
        return ", ".join(shown[:most]) + more


def knob_places(source: RunSource, last: int) -> list[Place]:
    """Where the run's knobs changed, changes that are near each other together: at most `PLACES` on
    an axis up to `last`."""
    places: list[Place] = []
    for change in source.knobs.itertuples():
        if not places or change.step - places[-1].step > last / PLACES:
            places.append(Place(int(change.step)))
        places[-1].add(change.name, change.old, change.new)
    return places


def knob_strip(sources: Sequence[RunSource], last: int) -> Strip:
    """Lines and labels for the knob changes of all runs; of several runs each line in the run's
    colour and dash."""
    shapes, wanted = [], []
    for i, source in enumerate(sources):
        alone, style = len(sources) == 1, look(i)
        for place in knob_places(source, last):
            shapes.append(
                marker(
                    place.step,
                    colour=GREY if alone else style.colour,
                    dash="dot" if alone else style.dash,
                )
            )
            wanted.append((place.step, [place.text(most) for most in (2, 1)]))
    return Strip(shapes, _labels(sorted(wanted, reverse=True), max(last, 1)))


def _labels(wanted: Sequence[tuple[int, list[str]]], last: int) -> list[tuple[int, int, str, str]]:
    """(row, step, text, side) for the labels that have room, in the order given; the first of the
    texts that fits."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(ROWS)]
    placed = []
    for step, texts in wanted:
        for text, row in product(texts, range(ROWS)):
            width = (len(text) + 1) * LETTER
            side = (
                "left" if step / last + width <= 1 else "right"
            )  # which end of the text is at the line
            start = step / last - (0 if side == "left" else width)
            if start >= 0 and all(start + width <= a or start >= b for a, b in taken[row]):
                taken[row].append((start, start + width))
                placed.append((row, step, text, side))
                break
    return placed


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else plot_text(value, 16)
