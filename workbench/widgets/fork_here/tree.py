"""Continuations of one token as a tree: what they have in common stands once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.influence.fork_result import Continuation, Continuations


@dataclass(frozen=True)
class Node:
    """A stretch of tokens that all continuations under it have in common."""

    ids: tuple[int, ...]

    pieces: tuple[str, ...]
    """Their texts."""

    logp_T: np.ndarray
    """Log-probability of each, given all that stands before it."""

    draws: int
    """So many of the sampled continuations go through here; 0 where only the record did."""

    is_recorded: bool
    """The recorded continuation goes through here."""

    ends: Continuation | None
    """The continuation that ends here; None where all go on."""

    children: tuple[Node, ...]
    """Those drawn oftenest first, and of equal ones the likeliest."""

    @property
    def probability(self) -> float:
        """Of this stretch, given all that stands before it."""
        return float(np.exp(self.logp_T.sum()))


def tree_of(found: Continuations) -> tuple[Node, ...]:
    """The branches at the forked token; the recorded continuation is among them."""
    return _branches([*found.sampled, found.recorded], found.recorded, 0)


def _branches(
    group: Sequence[Continuation], recorded: Continuation, start: int
) -> tuple[Node, ...]:
    """Those that share their first `start` tokens, apart by the next one."""
    by_next: dict[int, list[Continuation]] = {}
    for one in group:
        if len(one.ids) > start:
            by_next.setdefault(one.ids[start], []).append(one)
    nodes = [_node(group, recorded, start) for group in by_next.values()]
    return tuple(sorted(nodes, key=lambda node: (-node.draws, -node.probability)))


def _node(group: Sequence[Continuation], recorded: Continuation, start: int) -> Node:
    first = group[0]
    stop = start
    # As far as they all go together.
    while all(len(one.ids) > stop and one.ids[stop] == first.ids[stop] for one in group):
        stop += 1
    ending = [one for one in group if len(one.ids) == stop]
    return Node(
        ids=first.ids[start:stop],
        pieces=first.pieces[start:stop],
        logp_T=first.logp_T[start:stop],
        draws=sum(one is not recorded for one in group),
        is_recorded=any(one is recorded for one in group),
        ends=ending[0] if ending else None,
        children=_branches(group, recorded, stop),
    )
