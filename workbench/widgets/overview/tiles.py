"""The figures that say how a run is doing, a tile each: its name, its course as a sparkline, its
value at the step shown. Pure HTML.

    tiles(source, step=None)   reward, held-out, pass@8 where known, KL, clip, dead groups
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import safe_text
from workbench.widgets.evaluation.figures import curve, figures_at, sampled_of, steps_of
from workbench.widgets.plots.decimate import keep

WIDTH, HEIGHT = 88, 14
"""Of a sparkline, in its own units: it stretches to the room that it has."""
POINTS = 44
WINDOW = 5
"""Steps whose mean is held against that of as many before, for the arrow."""
USUAL_K = 8
NOISE = 2.0
"""Standard errors that the two must differ by before an arrow says so."""


@dataclass(frozen=True)
class Tile:
    """One figure. `value` and `beside` are plain text; `about` says it in full."""

    name: str
    value: str
    beside: str = ""
    about: str = ""
    course: str = ""


def tiles(source: RunSource, step: int | None = None) -> str:
    """The tiles of one run at `step` (None = its newest), as HTML; empty before there is anything
    to say."""
    made = "".join(map(tile_html, _tiles(source, step)))
    return f'<dl class="wb-tiles">{made}</dl>' if made else ""


def tile_html(tile: Tile) -> str:
    """A tile: the sparkline shows what the words say, and is left to the eye."""
    beside = f" <small>{safe_text(tile.beside, 60)}</small>" if tile.beside else ""
    return (
        f'<div class="wb-tile" title="{html.escape(tile.about)}">'
        f"<dt>{safe_text(tile.name, 30)}</dt>"
        f"<dd>{safe_text(tile.value, 30)}{beside}</dd>{tile.course}</div>"
    )


def _tiles(source: RunSource, step: int | None) -> Iterator[Tile]:
    rows = source.metrics if step is None else source.metrics[source.metrics["step"] <= step]
    shown = _shares(source, rows)
    reward = _column(rows, "reward")
    if reward is not None:
        spread = _column(rows, "reward_std")
        within = "" if spread is None else f"±{number_text(spread[-1], '.2g')}"
        about = "mean reward of the step's completions, ± spread within a group"
        value = number_text(reward[-1], ".3f")
        yield Tile("reward", value, f"{within} {trend(reward)}".strip(), about, sparkline(reward))
    held_out = _held_out(source, step)
    if held_out is not None:
        yield held_out
    passed = _pass_at_k(source, step)
    if passed is not None:
        yield passed
    kl = _column(rows, "kl")
    if kl is not None:
        about = "KL to the reference, nats per token"
        yield Tile("KL", _short(kl[-1]), "", about, sparkline(kl))
    yield from shown


def _shares(source: RunSource, rows: pd.DataFrame) -> list[Tile]:
    """Clipped tokens and dead groups, where they were measured."""
    made = []
    low = _column(rows, "clip_ratio_low")
    high = _column(rows, "clip_ratio_high")
    if low is not None and high is not None:
        clipped = low + high
        about = f"tokens whose gradient was clipped: {low[-1]:.2%} below, {high[-1]:.2%} above"
        made.append(Tile("clip", _percent(clipped[-1]), "", about, sparkline(clipped)))
    dead = _column(rows, "dead_group_share")
    if dead is not None:
        about = "groups whose rewards are all equal, which teach nothing"
        made.append(Tile("dead groups", _percent(dead[-1]), "", about, sparkline(dead)))
    return made


def _held_out(source: RunSource, step: int | None) -> Tile | None:
    """The newest evaluation up to `step`, with its interval."""
    known = source.evaluations
    rows = known if step is None else known[known["step"] <= step]
    if not len(rows):
        return None
    last = rows.iloc[-1]
    own = rows[rows["split"] == last.split]
    interval = f"[{100 * last.low:.0f}–{100 * last.high:.0f}]"
    first = own.iloc[0]
    before = "" if first.step == last.step else f", {first.accuracy:.1%} at step {first.step}"
    about = (
        f"{last.split} accuracy at step {last.step}: {last.accuracy:.1%}, 95 % interval "
        f"{last.low:.1%} to {last.high:.1%}, n = {last.n}{before}"
    )
    course = sparkline(own["accuracy"].to_numpy(dtype=float), low=0.0)
    beside = interval if math.isfinite(last.low) else ""
    name = last.split.replace("_", "-")
    return Tile(name, _percent(last.accuracy), beside, about, course)


def _pass_at_k(source: RunSource, step: int | None) -> Tile | None:
    """pass@k of the newest evaluation with samples, for the largest k up to `USUAL_K`."""
    frame = sampled_of(source.run)
    if not len(frame):
        return None
    split = str(frame["split"].iloc[0])
    steps = [at for at in steps_of(frame, split) if step is None or at <= step]
    if not steps:
        return None
    found = figures_at(frame, split, steps[-1], "strict")
    usual = [k for k, _ in curve(found, "pass") if k <= USUAL_K]
    if not usual:
        return None
    k = max(usual)
    share = found[f"pass@{k}"]
    values = [figures_at(frame, split, at, "strict").get(f"pass@{k}") for at in steps]
    course = sparkline(np.array([math.nan if v is None else v.value for v in values]), low=0.0)
    about = (
        f"problems with a right answer among {k} sampled ones, {split}, step {steps[-1]}: "
        f"{share.value:.1%}, 95 % interval {share.low:.1%} to {share.high:.1%}, n = {share.n}"
    )
    return Tile(f"pass@{k}", _percent(share.value), "", about, course)


def _column(rows: pd.DataFrame, name: str) -> np.ndarray | None:
    """The metric at each step; None where its newest value is not known."""
    if name not in rows or not len(rows):
        return None
    values: np.ndarray = rows[name].to_numpy(dtype=float)
    return values if math.isfinite(values[-1]) else None


def _short(value: float) -> str:
    """Two digits, without a row of zeros before them."""
    return number_text(value, ".1e" if 0 < abs(value) < 1e-3 else ".2g")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def trend(values: np.ndarray) -> str:
    """▲ or ▼ where the newest steps differ from those before by more than their noise; else
    nothing."""
    values = values[np.isfinite(values)]
    width = min(WINDOW, len(values) // 2)
    if width < 2:
        return ""
    new, old = values[-width:], values[-2 * width : -width]
    noise = math.sqrt((new.var(ddof=1) + old.var(ddof=1)) / width)
    by = float(new.mean() - old.mean())
    if abs(by) <= NOISE * noise or by == 0:
        return ""
    return "▲" if by > 0 else "▼"


def sparkline(values: np.ndarray, low: float | None = None) -> str:
    """The course as a small SVG without axes; `low` holds its foot. Empty for a single value."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return ""
    y = values[known]
    kept = keep(y, limit=POINTS)
    x, y = known[kept].astype(float), y[kept]
    foot = float(y.min()) if low is None else min(low, float(y.min()))
    span = float(y.max()) - foot or 1.0
    across = (x - x[0]) / (x[-1] - x[0]) * WIDTH
    down = HEIGHT - (y - foot) / span * HEIGHT
    path = "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M{path}"/></svg>'
    )
