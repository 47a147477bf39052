"""An experiment's answers as sentences. Shares are said in points (percentage points), other
metrics in their own unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.experiment.outcomes import ACCURACY, Row
from workbench.experiment.statistics import MOST_SEEDS

if TYPE_CHECKING:
    from workbench.experiment.result import Difference, Result

MINUS = "−"
SOME_POINTS = 5.0
"""A difference for which the seeds are named, too: that which was seen may be chance."""
BETTER = ("accuracy", "reward")
"""Metrics of which more is better; of others it is only said which is higher."""


def amount(value: float, metric: str, sign: bool = False) -> str:
    """A difference of the metric without its unit: 6.1 for 0.061 of an accuracy."""
    scaled = 100 * value if metric == ACCURACY else value
    text = f"{scaled:+.1f}" if metric == ACCURACY else f"{scaled:+.4g}"
    if float(text) == 0:
        return text[1:]
    return (text if sign else text.removeprefix("+")).replace("-", MINUS)


def unit_of(metric: str) -> str:
    """What follows an amount."""
    return " points" if metric == ACCURACY else ""


def share(value: float, metric: str) -> str:
    """A value of the metric: 91.3 % for an accuracy."""
    return f"{100 * value:.1f} %" if metric == ACCURACY else f"{value:.4g}"


def seeds_words(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def _between(low: float, high: float, n: int, metric: str) -> str:
    return f"({amount(low, metric)} to {amount(high, metric)}, {seeds_words(n)})"


def difference_words(found: Difference, metric: str) -> str:
    """A difference in a sentence: which is better and by how much, or that these runs cannot tell
    and how many seeds could."""
    interval = found.interval
    if interval.n == 0:
        return f"{found.of} and {found.than}: no seed is finished of both yet."
    if interval.n == 1:
        return (
            f"One seed cannot tell {found.of} from {found.than}: "
            f"{amount(interval.value, metric, sign=True)}{unit_of(metric)}, and how much another "
            "seed would move that is not known."
        )
    between = _between(interval.low, interval.high, interval.n, metric)
    if found.verdict == "cannot tell":
        return (
            f"These runs cannot tell {found.of} from {found.than}: "
            f"{amount(interval.value, metric, sign=True)}{unit_of(metric)} {between}."
            f"{_needed(found, metric)}"
        )
    is_ahead = found.verdict == "better"
    ahead, behind = (found.of, found.than) if is_ahead else (found.than, found.of)
    low, high = (interval.low, interval.high) if is_ahead else (-interval.high, -interval.low)
    between = _between(low, high, interval.n, metric)
    by = f"by {amount(abs(interval.value), metric)}{unit_of(metric)} {between}"
    if found.to_control and is_ahead:
        return f"{ahead} learned: it ends above the control {behind} {by}."
    if found.to_control:
        return f"{behind} ends below the control {ahead} {by}: what it did was harm."
    better = "better" if metric in BETTER else "higher"
    return f"{ahead} is {better} than {behind} {by}."


def _needed(found: Difference, metric: str) -> str:
    said = f" A difference this small would need more than {MOST_SEEDS:,} seeds."
    if found.needed is not None:
        said = (
            f" Were that the true difference, {found.needed} seeds would show it four times in "
            "five."
        )
    some = found.needed_for(SOME_POINTS / 100)
    if metric != ACCURACY or some is None:
        return said
    return f"{said[:-1]}; for {SOME_POINTS:.0f} points, {some} would do."


def control_words(row: Row, metric: str) -> str:
    """What a control did by itself."""
    gain = row.gain
    changes = [value - row.starts[seed] for seed, value in row.values.items()]
    unit = unit_of(metric)
    single = (
        f"{amount(min(changes), metric, sign=True)} to {amount(max(changes), metric, sign=True)}"
    )
    if gain.n < 2:
        return f"The control {row.name} moved by {amount(gain.value, metric, sign=True)}{unit}."
    drift = "" if gain.low <= 0 <= gain.high else " It drifts, though there is nothing to learn."
    return (
        f"The control {row.name} moved by {amount(gain.value, metric, sign=True)}{unit} on average "
        f"{_between(gain.low, gain.high, gain.n, metric)}, single runs by {single}.{drift}"
    )


def band_words(result: Result, row: Row) -> str:
    """How many runs of a variant are above what a control run does; empty where there is no run,
    or no control to hold it against."""
    metric = result.plan.metric
    low, high = result.band_for(row.name)
    above, runs = result.above_controls(row.name)
    if not runs or math.isnan(high):
        return ""
    return (
        f"{above} of {runs} runs of {row.name} end above the band of the controls "
        f"({share(low, metric)} to {share(high, metric)}: where one more control run would end)."
    )


def multiple_words(families: tuple[int, int], level: float) -> str:
    """How several comparisons at once were dealt with; empty where there is one of each kind."""
    kinds = ("between variants", "with controls")
    said = [
        f"{count} comparisons {kind}"
        for count, kind in zip(families, kinds, strict=True)
        if count > 1
    ]
    if not said:
        return ""
    return (
        f"{' and '.join(said)}: the intervals of each kind are widened (Bonferroni), so that all "
        f"of the kind hold together with {percent(level)}."
    )


def percent(level: float) -> str:
    """0.95 as "95%", 0.995 as "99.5%"."""
    return f"{100 * level:g}%"


def number(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)
