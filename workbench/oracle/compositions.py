"""Of what kinds the other completions of a group can be, and how likely each such company is.

A completion's coefficient depends on the others through their rewards (and their lengths, where
tokens divide), so that they are counted by kind instead of one by one: a few dozen compositions
stand for millions of groups.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from workbench.config import GRPOConfig
from workbench.config.losses import reduction_of
from workbench.oracle.samples import SampleSpace
from workbench.oracle.scored import OracleError

TOKEN_REDUCTIONS = ("token_mean", "update_token_mean")
"""Those that divide by the tokens of the batch, which here is one update's too."""

MAX_COMPOSITIONS = 5_000
"""Kinds of groups around one completion, beyond which they are drawn instead."""


def kinds_of(space: SampleSpace, config: GRPOConfig) -> tuple[np.ndarray, list[float]]:
    """What sets completions of a group apart for the others: the number of the kind of each, and
    the probability of each kind."""
    columns = [space.rewards_CK]
    if reduction_of(config) in (*TOKEN_REDUCTIONS, "prompt_mean"):
        columns.append(space.mask_CT.sum(1)[:, None])
        columns.append(space.truncated_C[:, None])
    _, kind_C = np.unique(np.concatenate(columns, 1), axis=0, return_inverse=True)
    kind_C = kind_C.reshape(-1)
    return kind_C, np.bincount(kind_C, space.weight_C).tolist()


def most_compositions(space: SampleSpace, config: GRPOConfig) -> int:
    """Kinds of groups around one completion, of the problem that has the most."""
    counts = []
    for problem in range(space.problems):
        _, shares = kinds_of(space.of_problem(problem), config)
        others = config.num_generations - 1
        counts.append(math.comb(len(shares) + others - 1, others))
    return max(counts)


def compositions(
    shares: list[float], others: int, most: int = MAX_COMPOSITIONS
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every way in which `others` completions can be of these kinds, with its probability. Raises
    `OracleError` for more than `most`."""
    count = math.comb(len(shares) + others - 1, others)
    if count > most:
        raise OracleError(
            f"{others} other completions of {len(shares)} kinds can be put together in {count:,} "
            f"ways, more than {most:,}. Take a smaller num_generations or a smaller "
            "mass, or draw batches (drawn_coefficients)."
        )
    for kinds in itertools.combinations_with_replacement(range(len(shares)), others):
        probability = float(math.factorial(others))
        for kind, times in Counter(kinds).items():
            probability *= shares[kind] ** times / math.factorial(times)
        yield kinds, probability
