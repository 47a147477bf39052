"""The bars of a tornado as one SVG, without any plotting library: a row for each knob, a panel for
each measure, the band of a seed change behind them.

Ink is `currentColor`, so that the same picture stands on a light page and on a dark one; `still`
puts it on white paper. Down is orange and stands in the upper half of a row, up is blue in the
lower; what cannot be told from chance is grey and hollow. Colour never says it alone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.errors import inert
from workbench.runs.tornado.result import BEYOND, FAILED, SAME, Branch, TornadoResult

DOWN, UP, CHANCE_GREY = "#D55E00", "#0072B2", "#8A8A8A"
"""Okabe-Ito's orange and blue; all three have 3:1 on white and on JupyterLab's dark page."""
COLOURS = {"down": DOWN, "up": UP}

LABELS, PANEL, GAP = 215, 210, 20
"""Widths in pixels: of the knobs' names, of a panel, between two panels."""
HEAD, ROW, BAR, FOOT = 62, 46, 15, 34
"""Heights: of the headings, of a row, of a bar in it, of what stands below."""
NUMBER = 58
"""Room that a number beside a bar's end takes."""

TITLES = {
    "reward": ("reward", ""),
    "kl": ("KL to the reference", "nats a token"),
    "entropy": ("entropy", "nats a token"),
    "accuracy": ("accuracy", "greedy, held out"),
}
"""Heading of a panel, and its unit."""


@dataclass(frozen=True)
class Panel:
    """Where the effects on one measure stand."""

    measure: str
    left: float
    reach: float
    """The largest effect that has room, to both sides."""

    def x(self, effect: float) -> float:
        """Pixels from the left. An effect out of reach ends at the edge."""
        share = max(-1.0, min(1.0, effect / self.reach))
        return self.left + PANEL / 2 + share * (PANEL / 2 - NUMBER)


def order(result: TornadoResult) -> list[str]:
    """The knobs, those with the largest effect (in half widths of the band) first."""
    return sorted(result.knobs, key=lambda knob: -_weight(result, knob))


def _weight(result: TornadoResult, knob: str) -> float:
    weights = [0.0]
    for branch in result.of(knob):
        if branch.error:
            return math.inf
        for measure in result.measures:
            band = result.bands[measure]
            half = (band.high - band.low) / 2
            effect = abs(result.effect(branch, measure))
            weights.append(effect / half if half > 0 else effect)
    return max(w for w in weights if not math.isnan(w))


def drawn(result: TornadoResult) -> str:
    """The SVG, in the colour of the text around it."""
    knobs = order(result)
    panels = _panels(result)
    width = LABELS + len(panels) * (PANEL + GAP)
    height = HEAD + ROW * len(knobs) + FOOT
    parts = [
        *_heads(result, panels, len(knobs)),
        *(part for place, knob in enumerate(knobs) for part in _row(result, panels, place, knob)),
        *_legend(height),
    ]
    about = safe(summary(result))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{about}" '
        'style="font-family:sans-serif;font-size:13px" '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )


def still(result: TornadoResult) -> str:
    """The same on white paper, for a page that may be dark."""
    picture = drawn(result)
    paper = '<rect width="100%" height="100%" fill="#FFFFFF"/>'
    opening, rest = picture.split(">", 1)
    return f'{opening} color="#212121">{paper}{rest}'


def summary(result: TornadoResult) -> str:
    """In one sentence, what the picture shows, for who does not see it."""
    beyond = [
        f"{branch.knob} {branch.side} on {measure}"
        for branch in result.branches
        if branch.kind == "knob"
        for measure in result.measures
        if result.verdict(branch, measure) == BEYOND
    ]
    found = ", ".join(beyond) or "nothing"
    return (
        f"Effect of each knob after {result.steps} steps from step {result.step} of {result.run}. "
        f"More than a change of the seed: {found}."
    )


def number(value: float, measure: str) -> str:
    """An effect with its sign; accuracy in points of 100."""
    if measure == "accuracy":
        return f"{100 * value:+.1f} pt".replace("-", "−")
    return f"{value:+.3g}".replace("-", "−")


def value_text(value: object) -> str:
    """A setting as it is written in the picture."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def safe(text: str) -> str:
    """A text as HTML that shows every character and does nothing: a run's name may be hostile."""
    return html.escape(inert(text))


def _panels(result: TornadoResult) -> list[Panel]:
    panels = []
    for place, measure in enumerate(result.measures):
        band = result.bands[measure]
        effects = [
            abs(result.effect(branch, measure)) for branch in result.branches if not branch.error
        ]
        reach = max([*effects, abs(band.low), abs(band.high)]) or 1.0
        panels.append(Panel(measure, LABELS + place * (PANEL + GAP), reach))
    return panels


def _heads(result: TornadoResult, panels: Sequence[Panel], rows: int) -> Iterator[str]:
    bottom = HEAD + ROW * rows
    yield _text(0, 18, f"step {result.step}, {result.steps} steps further", bold=True)
    yield _text(0, 36, f"{result.problems} held-out problems")
    for panel in panels:
        title, unit = TITLES[panel.measure]
        band = result.bands[panel.measure]
        middle = panel.left + PANEL / 2
        base = result.base.measures[panel.measure]
        base_text = f"{base:.1%}" if panel.measure == "accuracy" else f"{base:.3g}"
        yield _text(middle, 18, title, anchor="middle", bold=True)
        yield _text(middle, 34, unit, anchor="middle")
        yield _text(middle, 50, f"unchanged: {base_text}", anchor="middle")
        low = panel.x(band.low)
        high = panel.x(band.high)
        yield (
            f'<rect x="{low:.1f}" y="{HEAD}" width="{max(high - low, 1):.1f}" '
            f'height="{bottom - HEAD}" fill-opacity="0.18"/>'
        )
        yield (
            f'<line x1="{middle}" y1="{HEAD - 4}" x2="{middle}" y2="{bottom}" '
            'stroke="currentColor" stroke-opacity="0.6"/>'
        )


def _row(result: TornadoResult, panels: Sequence[Panel], place: int, knob: str) -> Iterator[str]:
    top = HEAD + ROW * place
    branches = result.of(knob)
    goals = " / ".join(value_text(branch.value) for branch in branches)
    now = value_text(branches[0].before)
    yield _text(0, top + 20, knob, bold=True)
    yield _text(0, top + 37, f"{now} → {goals}")
    for panel in panels:
        for branch in branches:
            yield from _bar(result, panel, branch, top)


def _bar(result: TornadoResult, panel: Panel, branch: Branch, top: float) -> Iterator[str]:
    y = top + 6 if branch.side == "down" else top + 6 + BAR + 4
    verdict = result.verdict(branch, panel.measure)
    middle = panel.left + PANEL / 2
    if verdict in (FAILED, SAME):
        words = "broke off" if verdict == FAILED else "no change"
        yield _text(middle + 4, y + 12, words, size=12)
        return
    effect = result.effect(branch, panel.measure)
    end = panel.x(effect)
    is_told = verdict == BEYOND
    colour = COLOURS[branch.side] if is_told else CHANCE_GREY
    fill = f'fill="{colour}"' if is_told else 'fill="none"'
    title = f"{branch.knob} {value_text(branch.value)}: {number(effect, panel.measure)}"
    yield (
        f'<rect x="{min(middle, end):.1f}" y="{y}" width="{max(abs(end - middle), 1):.1f}" '
        f'height="{BAR}" {fill} stroke="{colour}" data-verdict="{verdict}">'
        f"<title>{safe(title)}</title></rect>"
    )
    # On the bar's own side, so that the number never lies on the bar.
    side = 1 if effect >= 0 else -1
    anchor = "start" if side > 0 else "end"
    yield _text(end + 4 * side, y + 12, number(effect, panel.measure), anchor=anchor, size=12)


def _legend(height: float) -> Iterator[str]:
    y = height - 12
    parts = (
        (0, f'fill="{DOWN}"', "knob down (upper bar)"),
        (200, f'fill="{UP}"', "knob up (lower bar)"),
        (390, f'fill="none" stroke="{CHANCE_GREY}"', "cannot be told from chance"),
        (620, 'fill-opacity="0.18"', "another seed lies here in 95 of 100"),
    )
    for x, fill, words in parts:
        yield f'<rect x="{x + 1}" y="{y - 11}" width="18" height="12" {fill}/>'
        yield _text(x + 26, y, words)


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False, size: int = 13
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight}>'
        f"{safe(words)}</text>"
    )
