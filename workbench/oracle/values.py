"""The value along a completion, exactly, and the credit of each token.

V of a prefix is the reward that a completion earns on average once it has begun so; Q of a token is
V of the prefix with it. Q - V is what choosing that token changed (the advantage function of Sutton
and Barto, and what VinePPO, arXiv 2410.01679, estimates by sampling): along a completion it adds up
to R - J, which GRPO pays to every token alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.oracle.scored import ScoredCompletions


@dataclass(frozen=True)
class TokenValues:
    """Values at the nodes of the tree (M) and at the tokens of each completion (C, T)."""

    value_M: np.ndarray
    """float64, V of each prefix over the completions that were found behind it; NaN where none
    was."""

    before_CT: np.ndarray
    """V before each token, NaN on padding."""

    after_CT: np.ndarray
    """Q of each token: V after it; at the last one the reward of the completion."""

    @property
    def credit_CT(self) -> np.ndarray:
        """Q - V of each token, NaN on padding. Of a completion they add up to R - J."""
        credit_CT: np.ndarray = self.after_CT - self.before_CT
        return credit_CT


def token_values(scored: ScoredCompletions) -> TokenValues:
    """The values of one problem's prefixes."""
    enumeration = scored.enumeration
    tree = enumeration.tree
    found_M = np.zeros(len(tree.parent_M))
    earned_M = np.zeros(len(tree.parent_M))
    found_M[enumeration.leaf_C] = enumeration.p_C
    earned_M[enumeration.leaf_C] = enumeration.p_C * scored.reward_C
    # Parents come before their children, so that backwards every node is whole when it is added.
    for node in range(len(tree.parent_M) - 1, 0, -1):
        parent = tree.parent_M[node]
        found_M[parent] += found_M[node]
        earned_M[parent] += earned_M[node]
    nothing_M = found_M == 0
    value_M = np.where(nothing_M, np.nan, earned_M / np.where(nothing_M, 1.0, found_M))

    before_CT = np.full(enumeration.mask_CT.shape, np.nan)
    after_CT = before_CT.copy()
    for row, leaf in enumerate(enumeration.leaf_C):
        path = tree.path(int(leaf))
        after_CT[row, : len(path)] = value_M[path]
        before_CT[row, : len(path)] = value_M[[0, *path[:-1]]]
    return TokenValues(value_M, before_CT, after_CT)
