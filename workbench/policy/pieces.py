"""The rows of an update in pieces that fit into memory: its micro-batches.

`micro_batch_size` asks for so many rows, whatever their length. Without it a piece has as many as
`micro_batch_tokens` hold, counted as they are computed (`Ways.computed_tokens`): a prompt that is
shared once, padding too. An update that the budget holds stays whole, and its rows in their order.
One that is cut keeps the completions of a prompt together, so that what they share is computed
once; a group that is too much by itself is halved, or taken in more parts. Its longest groups come
first, which puts like lengths together: where rows are padded (short packed rows, and models that
share no prompt) little of it is padding; where they are not it is of no use and does no harm. The
pieces are of about one size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import chain, groupby, pairwise
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy.ways import Ways
from workbench.rollout.types import Rollout

FINE = 64
"""Steps in which a smaller budget is looked for that makes no more pieces."""

Rows = list[int]


def micro_batches(model: Any, rollout: Rollout, rows_R: Tensor, config: GRPOConfig) -> list[Tensor]:
    """The rows of one update, each in one of the pieces that go forward and backward by themselves.
    Their gradients add up to the update's, whatever the pieces are."""
    if len(rows_R) == 0:
        return []
    if config.micro_batch_size is not None:
        return list(rows_R.split(config.micro_batch_size))
    ways, lengths = Ways(model), rollout.lengths

    def tokens(rows: Rows) -> int:
        return ways.computed_tokens(lengths, rows)

    rows, budget = rows_R.tolist(), config.micro_batch_tokens
    if tokens(rows) <= budget:
        return [rows_R]
    group_size = rollout.num_generations if ways.shares_prompts else 1
    pair = 2 if config.method_facts.of_pairs else 1
    units = _units(rows, group_size, pair, tokens, budget)
    units.sort(key=tokens, reverse=True)
    return [rows_R.new_tensor(piece) for piece in _evenly_filled(units, tokens, budget)]


def pieces_of(
    model: Any, rollout: Rollout, config: GRPOConfig, rows_R: Tensor | None = None
) -> list[Tensor]:
    """The rows of a rollout, all where none are named, in pieces for a pass without gradient: those
    of an update, since what fits there fits here."""
    if rows_R is None:
        rows_R = torch.arange(len(rollout.mask_BT), device=rollout.mask_BT.device)
    return [
        piece
        for share_R in rows_R.split(config.rows_at_once)
        for piece in micro_batches(model, rollout, share_R, config)
    ]


def put_back(rows_R: Tensor, pieces: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """(R, ...) what was computed piece by piece, in the order of `rows_R`."""
    whole = values[0].new_empty(int(rows_R.max()) + 1, *values[0].shape[1:])
    for piece, value in zip(pieces, values, strict=True):
        whole[piece] = value
    return whole[rows_R]


Tokens = Callable[[Rows], int]


def _units(rows: Rows, group_size: int, pair: int, tokens: Tokens, budget: int) -> list[Rows]:
    """What is not parted: the rows of a prompt, or as few parts of them as the budget holds."""
    # The pairs of DPO stand side by side, and have one prompt.
    pairs = [rows[i : i + pair] for i in range(0, len(rows), pair)]
    if group_size == 1:
        return pairs
    groups = [list(group) for _, group in groupby(pairs, lambda p: p[0] // group_size)]
    return [part for group in groups for part in _parts(group, tokens, budget)]


def _parts(pairs: list[Rows], tokens: Tokens, budget: int) -> list[Rows]:
    """The rows of one prompt in as few and as equal parts as the budget holds; one pair at least in
    each, however long it is."""
    first = -(-tokens(_flat(pairs)) // budget)
    for count in range(min(first, len(pairs)), len(pairs)):
        cuts = [len(pairs) * i // count for i in range(count + 1)]
        parts = [_flat(pairs[a:b]) for a, b in pairwise(cuts)]
        if all(tokens(part) <= budget for part in parts):
            return parts
    return pairs


def _flat(pairs: list[Rows]) -> Rows:
    return list(chain.from_iterable(pairs))


def _evenly_filled(units: list[Rows], tokens: Tokens, budget: int) -> list[Rows]:
    """The units in as few pieces as a walk through them makes, and of these in the smallest: a full
    piece and a small one would need the memory of the full one."""
    count = len(_filled(units, tokens, budget))
    smaller = range(0, budget, max(budget // FINE, 1))
    enough = bisect_left(
        smaller, True, key=lambda least: len(_filled(units, tokens, least)) <= count
    )
    return _filled(units, tokens, smaller[enough] if enough < len(smaller) else budget)


def _filled(units: list[Rows], tokens: Tokens, budget: int) -> list[Rows]:
    """The units in order in pieces that each hold as many as come next and fit."""
    pieces: list[Rows] = []
    for unit in units:
        if pieces and tokens(pieces[-1] + unit) <= budget:
            pieces[-1] = pieces[-1] + unit
        else:
            pieces.append(unit)
    return pieces
