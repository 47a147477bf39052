"""Fewer points for drawing, the same picture: the smallest and the largest value of every bucket
stay.

A spike of a single step stays visible, a gap stays a gap, the first and the last point stay.
Buckets are powers of two counted from the first step, so that a growing line keeps the points that
it has and does not shimmer from step to step.
`means` is the trend of such a line. Only drawings are thinned out; the record keeps every number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

POINTS = 600
"""Points of one line. A panel is about that many pixels wide."""


def decimate(x: np.ndarray, y: np.ndarray, limit: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `limit` points of the line (x, y); values that are not finite become NaN, which draws
    a gap."""
    kept = keep(y, limit=limit)
    values = np.asarray(y, float)[kept]
    return np.asarray(x)[kept], np.where(np.isfinite(values), values, np.nan)


def keep(low: np.ndarray, high: np.ndarray | None = None, *, limit: int = POINTS) -> np.ndarray:
    """Which points to draw of the line `low`, or of the band from `low` to `high`: at most `limit`
    sorted indices.

    Between two kept points a point that is not finite is kept wherever there was one. Raises
    ValueError for a limit under 16 or for a band of two lengths.
    """
    low = np.asarray(low, float)
    high = low if high is None else np.asarray(high, float)
    if limit < 16 or low.shape != high.shape:
        raise ValueError(
            f"limit={limit}, shapes {low.shape} and {high.shape}: the limit must be at least 16, "
            "the shapes the same."
        )
    if len(low) <= limit:
        return np.arange(len(low))
    finite = np.isfinite(low) & np.isfinite(high)
    points = np.flatnonzero(finite)
    ends = np.array([0, len(low) - 1])
    if not len(points):
        return ends
    room = (
        limit - 2 if len(points) == len(low) else (limit - 5) // 2
    )  # a gap may follow every point
    chosen = points[_extremes(low[points], high[points], room)]
    chosen = np.unique(np.concatenate([chosen, points[[0, -1]]]))
    return np.unique(np.concatenate([ends, chosen, _gaps(chosen, finite)]))


def bucket_size(length: int, buckets: int) -> int:
    """The smallest power of two that cuts `length` points into at most so many (>= 1) buckets."""
    size = 1
    while -(-length // size) > buckets:
        size *= 2
    return size


def means(values: np.ndarray, size: int) -> np.ndarray:
    """The mean of each bucket of `size` points, the last one may be shorter; NaN where a bucket has
    no finite value."""
    values = np.asarray(values, float)
    starts = np.arange(0, len(values), size)
    finite = np.isfinite(values)
    sums, counts = (
        np.add.reduceat(v, starts) for v in (np.where(finite, values, 0.0), finite.astype(float))
    )
    means_of: np.ndarray[Any, Any] = np.full(len(starts), np.nan)
    np.divide(sums, counts, out=means_of, where=counts > 0)
    return means_of


def _extremes(low: np.ndarray, high: np.ndarray, room: int) -> np.ndarray:
    """Where the smallest `low` and the largest `high` of each bucket are; at most `room` of
    them."""
    size = bucket_size(len(low), room // 2) if len(low) > room else 1
    if size == 1:
        return np.arange(len(low))
    whole = len(low) // size * size
    starts = np.arange(0, whole, size)
    found = [
        starts + low[:whole].reshape(-1, size).argmin(1),
        starts + high[:whole].reshape(-1, size).argmax(1),
    ]
    if whole < len(low):
        found += [[whole + low[whole:].argmin()], [whole + high[whole:].argmax()]]
    return np.concatenate(found)


def _gaps(chosen: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """The first point that is not finite after each chosen point that has one before the next
    chosen point."""
    holes = np.flatnonzero(~finite)
    after = np.searchsorted(holes, chosen[:-1])
    real = after < np.searchsorted(holes, chosen[1:])
    return holes[after[real]]
