"""Knob changes as vertical lines whose text, what changed from which value to which, shows while a
person points at them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.widgets.base.source import RunSource
from workbench.widgets.plots.pieces import GREY, Look, look, marker, plot_text

PLACES = 40
"""Lines that fit side by side; changes nearer than that share one, so that dragging a slider cannot
flood a panel."""


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

    def plain_text(self) -> str:
        """All of it, for where no HTML is read."""
        return html.unescape(self.text(most=len(self.values)))


def knob_places(source: RunSource, last: int) -> list[Place]:
    """Where the run's knobs changed, changes that are near each other together: at most `PLACES` on
    an axis up to `last`."""
    places: list[Place] = []
    for change in source.knobs.itertuples():
        if not places or change.step - places[-1].step > last / PLACES:
            places.append(Place(int(change.step)))
        places[-1].add(change.name, change.old, change.new)
    return places


def knob_lines(sources: Sequence[RunSource], last: int) -> list[dict[str, Any]]:
    """A line for each place of the knob changes of all runs, with its text; of several runs each
    line in the run's colour and dash."""
    lines = []
    for i, source in enumerate(sources):
        style = look(i) if len(sources) > 1 else Look(GREY, "dot", "circle")
        whose = f"{plot_text(source.label, 24)}: " if len(sources) > 1 else ""
        for place in knob_places(source, last):
            said = f"{whose}step {place.step}: {place.text(most=6)}"
            lines.append(marker(place.step, colour=style.colour, dash=style.dash, text=said))
    return lines


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else plot_text(value, 16)
