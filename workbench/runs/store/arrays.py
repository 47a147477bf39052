"""Per-token arrays of a step: ragged rows as one flat array, and that array as a compact blob.

A blob is little-endian, its bytes transposed (all first bytes, then all second bytes …) and packed
by zlib level 1. Measured on log-probabilities, entropies and token ids of a small trained policy:
0.67, 0.67 and 0.06 of the raw size, against 0.72, 0.85 and 0.10 without the transposition, and 1.5
times as fast (about 100 MB/s).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

CODEC = "transposed+zlib"
DTYPES = ("<i4", "<f4")

MAX_SIZE = 2**28
"""Elements of an array, padded or not: a gibibyte. A step of 4096 completions of 16 384 tokens is a
quarter of it."""


def pack(array: np.ndarray) -> tuple[str, str, bytes]:
    """(dtype, codec, blob) of a flat int32 or float32 array."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    planes = little.view(np.uint8).reshape(-1, little.itemsize).T
    return little.dtype.str, CODEC, zlib.compress(planes.tobytes(), 1)


def unpack(dtype: str, codec: str, blob: bytes, most: int = MAX_SIZE) -> np.ndarray:
    """The flat array that `pack` was given, which has at most `most` elements. Raises ValueError
    for a dtype or codec that this version does not know, and for a blob that is longer or cut."""
    if codec != CODEC or dtype not in DTYPES:
        raise ValueError(
            f"array of dtype {dtype!r}, codec {codec!r}: this version reads {DTYPES} in {CODEC!r}."
        )
    width = np.dtype(dtype).itemsize
    # A few kilobytes can unpack to gigabytes: no byte more than the record says.
    unpacking = zlib.decompressobj()
    flat_bytes = unpacking.decompress(blob, min(most, MAX_SIZE) * width + 1)
    if len(flat_bytes) > most * width or len(flat_bytes) % width or not unpacking.eof:
        raise ValueError(f"array of {len(blob)} packed bytes: it is not one of {most} elements.")
    planes = np.frombuffer(flat_bytes, np.uint8).reshape(width, -1)
    flat = np.ascontiguousarray(planes.T).reshape(-1).view(dtype)
    native: np.ndarray = flat.astype(np.dtype(dtype).newbyteorder("="), copy=False)
    return native


def row_lengths(mask_BT: np.ndarray) -> np.ndarray:
    """Tokens of each row, int32 (B,). Raises ValueError when a row's tokens are not all at its
    start."""
    mask_BT = np.asarray(mask_BT, dtype=bool)
    lengths_B: np.ndarray = mask_BT.sum(1).astype(np.int32)
    if not (mask_BT == prefix_mask(lengths_B, mask_BT.shape[1])).all():
        raise ValueError(
            "mask_BT must be True on a row's first tokens and False after them. Give the mask of "
            "the sampled tokens (Rollout.mask_BT), not that of the loss."
        )
    return lengths_B


def prefix_mask(lengths_B: np.ndarray, width: int | None = None) -> np.ndarray:
    """Bool (B, T): True on the first `lengths_B[b]` tokens of row b. T is the longest row unless
    `width` says it."""
    width = int(lengths_B.max(initial=0)) if width is None else width
    mask_BT: np.ndarray = np.arange(width) < np.asarray(lengths_B)[:, None]
    return mask_BT


def pad(flat: np.ndarray, lengths_B: np.ndarray, fill: Any = 0) -> np.ndarray:
    """The flat array as (B, T), rows filled up on the right."""
    mask_BT = prefix_mask(lengths_B)
    padded_BT = np.full(mask_BT.shape, fill, dtype=flat.dtype)
    padded_BT[mask_BT] = flat
    return padded_BT


def positions(lengths_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, position in the row) of each element of the flat array."""
    rows = np.repeat(np.arange(len(lengths_B)), lengths_B)
    starts_B = np.cumsum(lengths_B, dtype=np.int64) - lengths_B
    return rows, np.arange(len(rows)) - np.repeat(starts_B, lengths_B)
