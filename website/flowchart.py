"""Our Mermaid flow charts as pictures, drawn when the site is built: Mermaid itself is a script
that the theme would fetch from another host.

It reads what our documents use: `a["label"] --> b["label"]` and `a -. "label" .-> b`. Solid arrows
make the order from top to bottom, dotted ones lead along the right.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from website.repository import SiteError

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.M | re.S)
_NODE = r'(\w+)(?:\["([^"]*)"\])?'
_EDGE = re.compile(rf'^{_NODE} (?:-->|-\. "([^"]*)" \.->) {_NODE}$')
WIDE, HIGH, APART, BELOW = 150, 44, 24, 30
SIDE = 190
"""Room for the words of dotted arrows."""


@dataclass
class Chart:
    """A chart as it is written."""

    labels: dict[str, str] = field(default_factory=dict)
    solid: list[tuple[str, str]] = field(default_factory=list)
    dotted: list[tuple[str, str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> Chart:
        """Raises `SiteError` for a line that this does not know."""
        chart = cls()
        first, *lines = (line.strip() for line in text.strip().splitlines())
        for line in lines:
            match = _EDGE.match(line)
            if match is None or not first.startswith("flowchart"):
                raise SiteError(f"website/flowchart.py cannot draw the Mermaid line {line!r}.")
            start, start_label, words, end, end_label = match.groups()
            for name, label in ((start, start_label), (end, end_label)):
                chart.labels[name] = label or chart.labels.get(name, name)
            if words is None:
                chart.solid.append((start, end))
            else:
                chart.dotted.append((start, end, words))
        return chart

    def rows(self) -> list[list[str]]:
        """The nodes from top to bottom: each as far down as what it leads to allows."""
        from_end = dict.fromkeys(self.labels, 0)
        for _ in self.labels:
            for start, end in self.solid:
                from_end[start] = max(from_end[start], from_end[end] + 1)
        last = max(from_end.values())
        return [[n for n in self.labels if from_end[n] == last - row] for row in range(last + 1)]


def with_charts(text: str) -> str:
    """Markdown in which each Mermaid block is a picture."""
    return _BLOCK.sub(lambda match: svg_of(Chart.read(match[1])) + "\n", text)


def svg_of(chart: Chart) -> str:
    """The picture, in the colours of the page."""
    rows = chart.rows()
    place = {
        name: (column * (WIDE + APART), row * (HIGH + BELOW))
        for row, names in enumerate(rows)
        for column, name in enumerate(names)
    }
    right = max(x for x, _ in place.values()) + WIDE
    size = f"0 0 {right + SIDE} {len(rows) * (HIGH + BELOW)}"
    drawn = "".join(_box(chart.labels[name], *at) for name, at in place.items())
    drawn += "".join(_arrow(place[a], place[b]) for a, b in chart.solid)
    drawn += "".join(
        _side_arrow(place[a], place[b], words, right + 14 * count)
        for count, (a, b, words) in enumerate(chart.dotted)
    )
    spoken = ", ".join(f"{_plain(chart, a)} to {_plain(chart, b)}" for a, b in chart.solid)
    head = (
        '<defs><marker id="flow-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    return (
        f'<svg class="flow" role="img" aria-label="Flow chart: {html.escape(spoken, quote=True)}" '
        f'viewBox="{size}" style="max-width:{right + SIDE}px">{head}{drawn}</svg>'
    )


def _plain(chart: Chart, name: str) -> str:
    return re.sub(r"<br>.*", "", chart.labels[name]).strip("/ ")


def _box(label: str, x: int, y: int) -> str:
    lines = [html.escape(html.unescape(line)) for line in label.split("<br>")]
    first = y + HIGH / 2 + 5 - 8 * (len(lines) - 1)
    words = "".join(
        f'<text x="{x + WIDE / 2}" y="{first + 16 * row}">{line}</text>'
        for row, line in enumerate(lines)
    )
    return f'<rect x="{x + 1}" y="{y + 1}" width="{WIDE - 2}" height="{HIGH - 2}" rx="4"/>{words}'


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = start, end
    return (
        f'<path d="M{x + WIDE / 2} {y + HIGH} L{to_x + WIDE / 2 + (12 if x > to_x else 0)} {to_y}" '
        'marker-end="url(#flow-head)"/>'
    )


def _side_arrow(start: tuple[int, int], end: tuple[int, int], words: str, right: int) -> str:
    """Out of one box's right side, along the edge, into another's."""
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + HIGH // 2 - 8, to_y + HIGH // 2 + 8
    path = f"M{x + WIDE} {y} H{right + 16} V{to_y} H{to_x + WIDE}"
    lines = words.split(", ")
    said = "".join(
        f'<text class="side" x="{right + 24}" y="{(y + to_y) / 2 + 16 * row}">'
        f"{html.escape(line)}</text>"
        for row, line in enumerate(lines)
    )
    return f'<path class="dotted" d="{path}" marker-end="url(#flow-head)"/>{said}'
