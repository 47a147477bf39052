"""Two policies on the same problems: a control beside what was trained, and what a training has
sharpened and what it has added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.evaluation.answered import Verdict, values_of
from workbench.evaluation.estimators import Z_95, Estimate, mean_over_problems

CONTROLS = {
    "prompt-only": "the untrained policy with the prompt alone: what the prompt and its hints of "
    "the format bring without training. What lies above it is the training's.",
    "self-consistency": "maj@K of the untrained policy: what more samples and a vote bring without "
    "training. A greedy answer that is no better gives at once what the vote would have found.",
    "lenient": "the likeliest answer anywhere in the text: a gain that is strict alone is one of "
    "format.",
}
"""What each control controls for."""


@dataclass(frozen=True)
class Difference(Estimate):
    """What one policy has more than another on the same problems: `value` in [-1, 1], NaN where no
    problem was counted for both; `n` the problems that were."""


def mean_difference(value_N: Sequence[float]) -> Difference:
    """The mean of a difference per problem, each in [-1, 1], with the interval of Bonett and Price
    (2012) for paired shares: one problem more is taken to have won and one to have lost, so that
    few problems, or none that differ, are not taken for certainty. They have it for differences of
    -1, 0 and 1; between these the same formula takes the squares as they are."""
    n = len(value_N)
    if n == 0:
        return Difference(math.nan, -1.0, 1.0, 0)
    centre = sum(value_N) / (n + 2)
    variance = (sum(value * value for value in value_N) + 2) / (n + 2) - centre * centre
    half = Z_95 * math.sqrt(variance / (n + 2))
    value = sum(value_N) / n
    # The centre lies nearer to 0 than the value: with few problems the interval could miss it.
    low = max(min(centre - half, value), -1.0)
    high = min(max(centre + half, value), 1.0)
    return Difference(value, low, high, n)


def paired_differences(one: Sequence[Verdict], other: Sequence[Verdict]) -> dict[str, Difference]:
    """Each figure of `one` less that of `other`, over the problems that both have a verdict of.
    Raises ValueError where a problem is not the same in both."""
    pairs = _paired(one, other)
    of_one = values_of([mine for mine, _ in pairs])
    of_other = values_of([theirs for _, theirs in pairs])
    found = {}
    for name, values in of_one.items():
        if name in of_other:
            both = zip(values.value_N, of_other[name].value_N, strict=True)
            found[name] = mean_difference([mine - theirs for mine, theirs in both])
    return found


def _paired(one: Sequence[Verdict], other: Sequence[Verdict]) -> list[tuple[Verdict, Verdict]]:
    """The verdicts of the same problem."""
    theirs = {verdict.of.problem: verdict for verdict in other}
    pairs = [(mine, theirs[mine.of.problem]) for mine in one if mine.of.problem in theirs]
    for mine, of_other in pairs:
        if mine.of.question != of_other.of.question:
            raise ValueError(
                f"problem {mine.of.problem} is {mine.of.question!r:.60} in one evaluation and "
                f"{of_other.of.question!r:.60} in the other: only the same problems can be "
                "compared. Evaluate both on one task and seed."
            )
    return pairs


# ------------------------------------------------------------ sharpening


@dataclass(frozen=True)
class Gain:
    """Where the gain of a training lies. The two parts add up to the whole: a problem's gain is
    counted by whether one of its K samples was right before.

    `sharpened` is the finding of DeepSeekMath (arXiv 2402.03300, section 5.2.2): RL raises maj@K
    and not pass@K, it makes likelier what was there. `added` is no proof of something new: of more
    than K samples one might have been right. It is too large by what chance alone gives, and
    `sharpened` too small by as much: which problems were in reach is told by the same samples that
    are subtracted.
    """

    samples: int
    """K."""
    total: Difference
    """mean@K after less before."""
    sharpened: Difference
    """The part of it on problems of which one of K samples was right before."""
    added: Difference
    """The part on problems of which none was."""
    in_reach: Estimate
    """pass@K before: the share of problems of which one of K samples was right."""

    def __str__(self) -> str:
        """In a sentence."""
        k = self.samples
        return (
            f"mean@{k} has changed by {_points(self.total)} points: {_points(self.sharpened)} of "
            f"them are sharpening, on the {self.in_reach.value:.0%} of the problems of which one "
            f"of {k} samples was right before, and {_points(self.added)} lie on the others."
        )


def gain(before: Sequence[Verdict], after: Sequence[Verdict]) -> Gain:
    """What a training has made of the same problems. Raises ValueError where there are no
    samples."""
    pairs = _paired(before, after)
    if not pairs or not all(then.right_K and now.right_K for then, now in pairs):
        raise ValueError(
            "there are no samples of the same problems before and after: evaluate both with "
            "--samples K."
        )
    gained = [_share(now.right_K) - _share(then.right_K) for then, now in pairs]
    was_there = [float(any(then.right_K)) for then, _ in pairs]
    both = list(zip(gained, was_there, strict=True))
    return Gain(
        samples=len(pairs[0][0].right_K),
        total=mean_difference(gained),
        sharpened=mean_difference([value * there for value, there in both]),
        added=mean_difference([value * (1 - there) for value, there in both]),
        in_reach=mean_over_problems(was_there),
    )


def _share(right_K: Sequence[bool]) -> float:
    return sum(right_K) / len(right_K)


def _points(part: Difference) -> str:
    return f"{100 * part.value:+.1f}"
