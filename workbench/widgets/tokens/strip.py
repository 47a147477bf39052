"""How strongly each position of a completion was pushed, step by step.

A token's push is -dloss/dlogp; what reaches the logits is push x (1 - p), since a token that is
certain cannot become more so. Added up over the completions of a step, up and down apart.

Suffixes: S steps, P positions (or bands of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.runs import Run
from workbench.runs.store.arrays import positions

COLUMNS = 240
"""Steps that are drawn; of more every second, fourth … is taken."""
ROWS = 48
"""Positions that are drawn; of more, bands of equal width."""
FULL = 99
"""Per cent of the cells that are less bright than the brightest colour."""


@dataclass(frozen=True)
class Strip:
    """up_SP and down_SP are sums of |push| x (1 - p), of the tokens pushed up and of those pushed
    down. `band` positions stand in each row."""

    steps_S: np.ndarray
    up_SP: np.ndarray
    down_SP: np.ndarray
    band: int

    @property
    def full(self) -> float:
        """What has the brightest colour."""
        size_SP = self.up_SP + self.down_SP
        return float(np.percentile(size_SP, FULL)) if size_SP.any() else 0.0

    def share(self, row: int, place: int | None = None) -> float:
        """What of all push (of one step, by its place) one row has; NaN where nothing was
        pushed."""
        size_SP = self.up_SP + self.down_SP
        part_SP = size_SP if place is None else size_SP[place : place + 1]
        total = part_SP.sum()
        return float(part_SP[:, row].sum() / total) if total > 0 else float("nan")


def columns_of(kept: Sequence[int]) -> list[int]:
    """The steps to draw, so that those chosen stay chosen when a run goes on; the last one is
    among them."""
    stride = 1
    while len(kept) > COLUMNS * stride:
        stride *= 2
    chosen = list(kept[::stride])
    return chosen if not kept or chosen[-1] == kept[-1] else [*chosen, kept[-1]]


def pushes_of(run: Run, step: int) -> np.ndarray | None:
    """(2, P) sums of one step by position, up and down; None where the push was not recorded."""
    arrays = run.token_arrays(step)
    if "coefficient" not in arrays or "logp" not in arrays:
        return None
    _, places = positions(arrays["lengths"])
    size = arrays["coefficient"].astype(np.float64) * -np.expm1(arrays["logp"].astype(np.float64))
    # A row that was skipped has no log-probability, and no push.
    size = np.where(np.isfinite(size), size, 0.0)
    P = int(arrays["lengths"].max(initial=0))
    up = np.bincount(places, np.maximum(size, 0), minlength=P)
    down = np.bincount(places, np.maximum(-size, 0), minlength=P)
    return np.stack([up, down])


def strip_of(steps: Sequence[int], pushes: Sequence[np.ndarray]) -> Strip:
    """Of the steps whose push is known; shorter ones end earlier."""
    longest = max((push.shape[1] for push in pushes), default=0)
    band = max(1, -(-longest // ROWS))
    rows = -(-longest // band) if longest else 0
    both = np.zeros((2, len(steps), rows))
    for place, push in enumerate(pushes):
        padded = np.zeros((2, rows * band))
        padded[:, : push.shape[1]] = push
        both[:, place] = padded.reshape(2, rows, band).sum(2)
    return Strip(np.array(steps, np.int64), both[0], both[1], band)
