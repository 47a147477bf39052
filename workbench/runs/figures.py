"""The metrics of a step that follow from its samples alone, by the names that every record has,
whoever trained. B completions, N groups, K reward functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def reward_figures(
    names: Sequence[str], rewards_BK: Any, reward_B: Any, std_N: Any, dead_N: Any
) -> dict[str, float]:
    """Means of the total and of each reward function, the mean spread inside a group, the share of
    dead groups. NaN: not scored, or no spread; a mean is over the others."""
    columns = zip(names, np.asarray(rewards_BK, dtype=float).T, strict=True)
    figures = {
        "reward": mean_of(reward_B),
        "reward_std": mean_of(std_N),
        "dead_group_share": float(np.asarray(dead_N, dtype=bool).mean()),
    }
    return figures | {f"rewards/{name}": mean_of(column) for name, column in columns}


def length_figures(length_B: Any) -> dict[str, float]:
    """Lengths in sampled tokens."""
    lengths = np.asarray(length_B, dtype=float)
    return {
        "completion_length": float(lengths.mean()),
        "completion_length_max": float(lengths.max()),
        "tokens": float(lengths.sum()),
    }


def truncation_figures(truncated_B: Any) -> dict[str, float]:
    """The share of completions that were cut off."""
    return {"truncated_share": float(np.asarray(truncated_B, dtype=bool).mean())}


def mean_of(values: Any) -> float:
    """The mean of what is known; NaN where nothing is."""
    array = np.asarray(values, dtype=float)
    known = array[~np.isnan(array)]
    return float(known.mean()) if len(known) else float("nan")
