"""The rows of an experiment as text: the terminal's table and the widget's are the same."""

from __future__ import annotations

import math
import statistics

from workbench.experiment.outcomes import Row
from workbench.experiment.result import Result
from workbench.experiment.variants import function_name
from workbench.experiment.words import percent, share
from workbench.rewards.controls import CONTROLS

COLUMNS = ("variant", "runs", "start", "end", "95 %", "lowest", "highest", "what it is")


def columns_of(result: Result) -> tuple[str, ...]:
    """The headings of `cells`."""
    return tuple(name.replace("95 %", percent(result.plan.level)) for name in COLUMNS)


def cells(result: Result) -> list[tuple[str, ...]]:
    """The rows as text; empty where nothing is known yet."""
    return [_cells(row, result.plan.metric) for row in result.rows]


def _cells(row: Row, metric: str) -> tuple[str, ...]:
    values = list(row.values.values())
    runs = f"{len(values)} of {len(row.outcomes)}"
    if not values:
        return (row.name, runs, "", "", "", "", "", about(row))
    mean = row.mean
    between = ""
    if not math.isnan(mean.low):
        # A resolution is known of shares, which end at 0 and 1.
        low, high = (
            (max(mean.low, 0), min(mean.high, 1)) if row.resolution else (mean.low, mean.high)
        )
        between = f"{share(low, metric)} to {share(high, metric)}"
    return (
        row.name,
        runs,
        share(statistics.fmean(row.starts.values()), metric),
        share(mean.value, metric),
        between,
        share(min(values), metric),
        share(max(values), metric),
        about(row),
    )


def about(row: Row) -> str:
    """What a row is, in a few words."""
    variant = row.variant
    if variant.control is not None:
        return f"control of {variant.control_of}: {CONTROLS[variant.control].words}"
    rewards = [
        reward if isinstance(reward, str) else function_name(reward) for reward in variant.rewards
    ]
    return f"{variant.config.method}, {variant.policy}, rewards {' + '.join(rewards)}"
