"""What the trees say, in sentences."""

from __future__ import annotations

import numpy as np

from workbench.widgets.base.numbers import number_text
from workbench.widgets.oracle.layout import visible
from workbench.widgets.oracle.snapshots import Snapshots

MOST = 0.99
"""The share of the probability of which a sentence counts the completions."""


def moment_words(snapshots: Snapshots, moment: int) -> str:
    """How many completions hold 99 %, what is not counted, and J."""
    probability_C = np.sort(snapshots.probability_SC[moment])[::-1]
    reached = np.cumsum(probability_C) >= MOST
    found = int((probability_C > 0).sum())
    if reached.any():
        count = int(reached.argmax()) + 1
        hold = f"{count} {_completions(count)} hold{'s' if count == 1 else ''} {MOST:.0%}"
    else:
        hold = f"{found} {_completions(found)} hold {probability_C.sum():.2%}"
    lost = max(snapshots.lost_S[moment], 0.0)
    expected = number_text(float(snapshots.reward_S[moment]))
    return (
        f"{visible(snapshots.moments[moment])}: {hold} of the probability ({found} were found, "
        f"{lost:.2%} is not counted). Expected reward J = {expected}."
    )


def _completions(count: int) -> str:
    return "completion" if count == 1 else "completions"
