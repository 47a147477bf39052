"""Identical completions of a group as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.widgets.groups.table import GroupTable


@dataclass(frozen=True)
class Fold:
    """Completions of a group that are the same in all that the page shows."""

    first: int
    """The place in its group of the one that stands for them."""
    rows: tuple[int, ...]
    """All of them, as rows of the step."""


def folds_of(table: GroupTable, n: int, rows_G: np.ndarray) -> list[Fold]:
    """Group `n`, of it the completions for which `rows_G` (bool) is True, each distinct one once,
    in their order. Equal texts with another reward, length or end stay apart."""
    found: dict[tuple[object, ...], list[int]] = {}
    for g in np.flatnonzero(rows_G).tolist():
        figures = [
            *(values_NG[n, g] for values_NG in table.rewards.values()),
            table.reward_NG[n, g],
            table.advantage_NG[n, g],
        ]
        # As text, where NaN equals NaN.
        key = (
            table.completion_NG[n, g],
            *(repr(float(figure)) for figure in figures),
            int(table.length_NG[n, g]),
            bool(table.truncated_NG[n, g]),
        )
        found.setdefault(key, []).append(g)
    G = table.G
    return [Fold(places[0], tuple(n * G + g for g in places)) for places in found.values()]
