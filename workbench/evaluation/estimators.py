"""What K samples of each problem say: mean@K, pass@k, maj@k, each with a 95 % interval.

Pure functions of numbers. The samples of one problem are not independent of each other (an easy
problem's are all right), so an interval goes by the spread between problems, never by the number of
samples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

Z_95 = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """A share with its interval."""

    value: float
    """In [0, 1]; NaN where there was no problem."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""
    n: int
    """Problems, not samples."""

    def as_dict(self) -> dict[str, float | int | list[float] | None]:
        """As it is printed in JSON, which has no NaN."""
        value = None if math.isnan(self.value) else self.value
        return {"value": value, "interval": [self.low, self.high], "n": self.n}


def wilson_interval(correct: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which stays inside [0, 1] and is right for shares
    near 0 and 1."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 but for rounding: no 1e-17 is shown.
    low = max(centre - half, 0.0) if correct > 0 else 0.0
    high = min(centre + half, 1.0) if correct < n else 1.0
    return low, high


def mean_over_problems(value_N: Sequence[float], samples: int = 1) -> Estimate:
    """The mean of one value in [0, 1] per problem, with Wilson's interval at the effective number
    of draws (Korn and Graubard 1998): as many independent draws as would vary as much as the
    problems' values do. For zeros and ones that is n itself.

    `samples` is K: no more than n K draws were made, however little the values differ.
    """
    n = len(value_N)
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    mean = sum(value_N) / n
    # Over n, not n - 1, so that zeros and ones give exactly n.
    variance = sum((value - mean) ** 2 for value in value_N) / n
    most = n * samples
    if mean in (0.0, 1.0) or n == 1:
        # All alike at an end: the samples of a problem may be as one, so only problems count. One
        # problem, too, says nothing of how the next would differ, however often it was asked.
        draws = float(n)
    else:
        draws = min(n * mean * (1 - mean) / variance, most) if variance > 0 else most
    low, high = wilson_interval(mean * draws, draws)
    return Estimate(mean, low, high, n)


def pass_at_k(right: int, samples: int, k: int) -> float:
    """The chance that one of k samples is right, drawn without putting back from `samples` of which
    `right` are: 1 - C(samples - right, k) / C(samples, k). Unbiased (Chen et al. 2021,
    arXiv 2107.03374, eq. 1).

    Raises ValueError unless 1 <= k <= samples and 0 <= right <= samples.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise ValueError(
            f"pass@{k} of {samples} samples, {right} right: k must lie between 1 and the number of "
            "samples, the right ones between 0 and it."
        )
    missed = 1.0
    # The quotient of the two binomials as a product of factors below 1: nothing overflows.
    for i in range(k):
        missed *= max(samples - right - i, 0) / (samples - i)
    return 1.0 - missed


def majority_right(vote_K: Sequence[Hashable | None], right_K: Sequence[bool]) -> float:
    """1 where the answer that most samples gave is right (self-consistency, arXiv 2203.11171).

    `vote_K` are the answers in a form in which equal ones are equal; None has no vote. Of several
    samples with the most voted answers one is taken at random, so a tie counts as its share of
    right ones, and so does an answer that was judged right in one spelling and wrong in another (5
    and 5 % are one vote). Nobody votes: 0.
    """
    count = Counter(vote for vote in vote_K if vote is not None)
    if not count:
        return 0.0
    most = max(count.values())
    of_leaders = [right for vote, right in zip(vote_K, right_K, strict=True) if count[vote] == most]
    return sum(of_leaders) / len(of_leaders)


def majority_at_k(vote_K: Sequence[Hashable | None], right_K: Sequence[bool], k: int) -> float:
    """maj@k: the mean of `majority_right` over as many separate blocks of k samples as there are.

    Blocks do not overlap, so the mean is unbiased. Raises ValueError unless 1 <= k <= K.
    """
    samples = len(vote_K)
    if not 1 <= k <= samples:
        raise ValueError(f"maj@{k} of {samples} samples: k must lie between 1 and {samples}.")
    starts = range(0, samples - k + 1, k)
    of_blocks = [majority_right(vote_K[i : i + k], right_K[i : i + k]) for i in starts]
    return sum(of_blocks) / len(of_blocks)
