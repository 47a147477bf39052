"""Where the completions of a prompt part: the edges of its tree.

Suffixes: C completions, D places at which a completion meets a branch, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.widgets.oracle.world import NO_EDGE

if TYPE_CHECKING:
    from workbench.oracle import Enumeration


@dataclass(frozen=True)
class Tree:
    """The branches of one prompt's completions. Siblings follow one another."""

    found: Enumeration
    edge_CD: np.ndarray
    """The edges along each completion, counted from 0 in this prompt."""
    row_E: np.ndarray
    """A completion that goes over the edge, and"""
    place_E: np.ndarray
    """at which token."""
    branch_E: np.ndarray
    """The prefix that the edge leaves; siblings share it."""

    @property
    def edges(self) -> int:
        """How many."""
        return len(self.row_E)


def tree_of(found: Enumeration) -> Tree:
    """Where an enumeration's completions part."""
    lists = found.completion_lists()
    followers: dict[tuple[int, ...], dict[int, tuple[int, int]]] = {}
    for row, ids in enumerate(lists):
        for place, token in enumerate(ids):
            followers.setdefault(tuple(ids[:place]), {}).setdefault(token, (row, place))
    number: dict[tuple[tuple[int, ...], int], int] = {}
    rows: list[int] = []
    places: list[int] = []
    branches: list[int] = []
    parting = [prefix for prefix, tokens in followers.items() if len(tokens) > 1]
    for branch, prefix in enumerate(parting):
        for token, (row, place) in followers[prefix].items():
            number[prefix, token] = len(rows)
            rows.append(row)
            places.append(place)
            branches.append(branch)
    along = [
        [
            number[key]
            for place, token in enumerate(ids)
            if (key := (tuple(ids[:place]), token)) in number
        ]
        for ids in lists
    ]
    width = max((len(path) for path in along), default=0)
    edge_CD = np.full((len(lists), max(width, 1)), NO_EDGE)
    for row, path in enumerate(along):
        edge_CD[row, : len(path)] = path
    return Tree(found, edge_CD, np.array(rows, int), np.array(places, int), np.array(branches, int))


def normalised(logp_E: np.ndarray, branch_E: np.ndarray) -> np.ndarray:
    """The log-probabilities of siblings, made to add up to 1."""
    if len(logp_E) == 0:
        return logp_E
    sums = np.bincount(branch_E, np.exp(logp_E))
    restricted_E: np.ndarray = logp_E - np.log(sums)[branch_E]
    return restricted_E


def side_by_side(trees: Sequence[Tree]) -> np.ndarray:
    """The edges of all completions, numbered through all prompts, in one width."""
    width = max(tree.edge_CD.shape[1] for tree in trees)
    parts = []
    first = 0
    for tree in trees:
        shifted = np.where(tree.edge_CD == NO_EDGE, NO_EDGE, tree.edge_CD + first)
        padding = ((0, 0), (0, width - shifted.shape[1]))
        parts.append(np.pad(shifted, padding, constant_values=NO_EDGE))
        first += tree.edges
    return np.concatenate(parts)
