"""The prefixes of one prompt's completions as a tree, in arrays.

Suffixes: M nodes (a node is a prefix, node 0 the empty one), C completions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PrefixTree:
    """Every prefix that was followed, parents before children."""

    parent_M: np.ndarray
    """int64, the node without the last token; -1 at the root."""

    token_M: np.ndarray
    """int64, the last token of the prefix; -1 at the root."""

    logp_M: np.ndarray
    """float64, log-probability of that token after its parent's prefix; 0 at the root."""

    reach_logp_M: np.ndarray
    """float64, log-probability of the whole prefix: of coming to this node at all."""

    depth_M: np.ndarray
    """int64, tokens of the prefix."""

    lost_M: np.ndarray
    """float64, probability of all that goes on from this prefix with a token that was dropped."""

    completion_M: np.ndarray
    """int64, the completion that ends at this node; -1 where none does."""

    @property
    def probability_M(self) -> np.ndarray:
        """Probability of each prefix: that of its children and of what was lost behind it."""
        probability_M: np.ndarray = np.exp(self.reach_logp_M)
        return probability_M

    def path(self, node: int) -> list[int]:
        """The nodes from the first token's to this one, the root left out."""
        found = []
        while node > 0:
            found.append(node)
            node = int(self.parent_M[node])
        return found[::-1]

    def prefix(self, node: int) -> list[int]:
        """The token ids of a prefix."""
        return [int(self.token_M[n]) for n in self.path(node)]

    def children(self, node: int) -> list[int]:
        """The nodes one token further, the likeliest first."""
        found = np.flatnonzero(self.parent_M == node)
        return [int(n) for n in found[np.argsort(-self.reach_logp_M[found], kind="stable")]]


class GrowingTree:
    """A tree while it grows, level by level."""

    def __init__(self) -> None:
        self._parents = [np.array([-1])]
        self._tokens = [np.array([-1])]
        self._logps = [np.zeros(1)]
        self._reaches = [np.zeros(1)]
        self._depths = [np.zeros(1, dtype=np.int64)]
        self._losses: dict[int, float] = {}
        self._size = 1

    def add_level(
        self, parent_K: np.ndarray, token_K: np.ndarray, logp_K: np.ndarray, reach_K: np.ndarray
    ) -> np.ndarray:
        """K nodes one token behind their parents; returns their numbers."""
        depth = int(self._depths[-1][0]) + 1
        self._parents.append(parent_K)
        self._tokens.append(token_K)
        self._logps.append(logp_K)
        self._reaches.append(reach_K)
        self._depths.append(np.full(len(parent_K), depth))
        first = self._size
        self._size += len(parent_K)
        return np.arange(first, self._size)

    def add_lost(self, node_R: np.ndarray, lost_R: np.ndarray) -> None:
        """Probability that was dropped right behind these nodes."""
        for node, lost in zip(node_R.tolist(), lost_R.tolist(), strict=True):
            self._losses[node] = self._losses.get(node, 0.0) + lost

    def grown(self, leaf_C: np.ndarray) -> PrefixTree:
        """The tree in which completion number c ends at node `leaf_C[c]`."""
        completion_M = np.full(self._size, -1)
        completion_M[leaf_C] = np.arange(len(leaf_C))
        lost_M = np.zeros(self._size)
        for node, lost in self._losses.items():
            lost_M[node] = lost
        return PrefixTree(
            parent_M=np.concatenate(self._parents),
            token_M=np.concatenate(self._tokens),
            logp_M=np.concatenate(self._logps),
            reach_logp_M=np.concatenate(self._reaches),
            depth_M=np.concatenate(self._depths),
            lost_M=lost_M,
            completion_M=completion_M,
        )
