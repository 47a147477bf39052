"""One level of the enumeration: which continuations of the prefixes in hand are followed.

Suffixes: R prefixes in hand, V words of the vocabulary, K continuations that are likely enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

AT_ONCE = 2**22
"""Numbers of a level that are widened to float64 at once: 32 MB."""


@dataclass(frozen=True)
class Continuations:
    """Prefixes with one token more, those that are likely enough to be looked at."""

    row_K: Tensor
    """int64, which of the R prefixes goes on."""

    token_K: Tensor
    """int64, with which token."""

    logp_K: Tensor
    """float64, log-probability of that token after its prefix."""

    reach_K: Tensor
    """float64, log-probability of the prefix with it."""

    lost_R: Tensor
    """float64, probability of the other tokens behind each prefix."""

    def where(self, chosen_K: Tensor) -> Continuations:
        """Some of them; what is behind the others is added to the loss of their prefix."""
        dropped_K = torch.where(chosen_K, 0.0, self.reach_K.exp())
        return Continuations(
            row_K=self.row_K[chosen_K],
            token_K=self.token_K[chosen_K],
            logp_K=self.logp_K[chosen_K],
            reach_K=self.reach_K[chosen_K],
            lost_R=self.lost_R.index_add(0, self.row_K, dropped_K),
        )


def continuations(
    logits_RV: Tensor, reach_R: Tensor, temperature: float, min_probability: float
) -> Continuations:
    """What may follow R prefixes of log-probability `reach_R`: all tokens with which a prefix keeps
    the probability `min_probability` at least; with 0 all that are possible."""
    floor = math.log(min_probability) if min_probability > 0 else -math.inf
    rows = max(1, AT_ONCE // logits_RV.shape[1])
    parts = [
        _likely(logits_rV, reach_r, temperature, floor)
        for logits_rV, reach_r in zip(logits_RV.split(rows), reach_R.split(rows), strict=True)
    ]
    # Rows are counted within their part there.
    row_parts = [part.row_K + index * rows for index, part in enumerate(parts)]
    return Continuations(
        row_K=torch.cat(row_parts),
        token_K=torch.cat([part.token_K for part in parts]),
        logp_K=torch.cat([part.logp_K for part in parts]),
        reach_K=torch.cat([part.reach_K for part in parts]),
        lost_R=torch.cat([part.lost_R for part in parts]),
    )


def _likely(logits_RV: Tensor, reach_R: Tensor, temperature: float, floor: float) -> Continuations:
    # float64 before the softmax: the probabilities of a level then add up to those of its parents,
    # and what is lost can be counted where it is dropped.
    logp_RV = (logits_RV.double() / temperature).log_softmax(-1)
    reach_RV = reach_R[:, None] + logp_RV
    likely_RV = (reach_RV >= floor) & reach_RV.isfinite()
    row_K, token_K = likely_RV.nonzero(as_tuple=True)
    return Continuations(
        row_K=row_K,
        token_K=token_K,
        logp_K=logp_RV[row_K, token_K],
        reach_K=reach_RV[row_K, token_K],
        lost_R=reach_RV.exp().masked_fill(likely_RV, 0.0).sum(-1),
    )


def likeliest(reach_K: Tensor, may_lose: float, most: int) -> tuple[Tensor, float]:
    """Which prefixes go on, bool (K,): the least likely are dropped as long as all that is dropped
    holds no more than `may_lose`; of the others no more than `most` stay, and the probability that
    this bound cost comes second."""
    ascending_K = reach_K.argsort()
    dropped_K = reach_K[ascending_K].exp().cumsum(0)
    first_kept = int((dropped_K <= may_lose).sum())
    bounded = max(first_kept, len(reach_K) - most)
    keeps_K = torch.zeros_like(reach_K, dtype=torch.bool)
    keeps_K[ascending_K[bounded:]] = True
    cost = float(reach_K[ascending_K[first_kept:bounded]].exp().sum())
    return keeps_K, cost
