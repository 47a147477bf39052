"""How good a reward model is on examples that it was not trained on: accuracy, AUC, calibration,
each with a 95 % interval.

Examples of one problem resemble each other, so that an interval goes by the spread between
problems: a bootstrap draws problems with all their examples. The bins of the calibration have
Wilson's interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workbench.evaluation.estimators import Estimate, wilson_interval
from workbench.rewards.model import (
    Example,
    Outcome,
    Pair,
    RewardModel,
    RewardModelError,
    StepLabels,
)

DRAWS = 1000
"""Bootstrap samples: the ends of a 95 % interval then vary by less than a tenth of its width."""
BINS = 10
"""Of the calibration, of equal width: as in Guo et al. (arXiv 1706.04599)."""


@dataclass(frozen=True)
class Bin:
    """Predictions of similar size."""

    low: float
    """Predictions from here,"""
    high: float
    """to here."""
    n: int
    """How many."""
    predicted: float
    """Their mean; NaN where there is none."""
    observed: float
    """How often it was so; NaN where there is none."""
    interval: tuple[float, float]
    """95 % interval of `observed` (Wilson)."""


@dataclass(frozen=True)
class RewardQuality:
    """What a reward model is worth on held-out examples."""

    kind: str
    """pairs, outcome or process."""
    examples: int
    """Pairs, completions, or steps."""
    accuracy: Estimate
    """pairs: the chosen one has the higher reward (a tie counts a half); else the label, above a
    half or not, is the prediction's."""
    chance: float
    """The accuracy of a model that knows nothing: 1/2 for pairs, the commoner label's share
    else."""
    auc: Estimate | None
    """The chance that of two examples the one with the label 1 gets the higher prediction; None
    for pairs, where it is the accuracy, and where only one label occurs."""
    calibration_error: Estimate
    """ECE: the mean distance of `predicted` and `observed` over the bins, weighted by their
    size. Of a bootstrap its low end is biased upwards: noise alone makes distances."""
    bins: tuple[Bin, ...]
    """The reliability diagram; of pairs over the probability that the model gives its own choice,
    from a half to 1."""

    @property
    def beats_chance(self) -> bool:
        """Whether the accuracy's whole interval lies above chance."""
        return self.accuracy.low > self.chance

    def as_dict(self) -> dict[str, Any]:
        """As it is recorded in JSON."""
        return {
            "kind": self.kind,
            "examples": self.examples,
            "accuracy": self.accuracy.as_dict(),
            "chance": self.chance,
            "beats_chance": self.beats_chance,
            "auc": None if self.auc is None else self.auc.as_dict(),
            "calibration_error": self.calibration_error.as_dict(),
            "bins": [
                {k: None if v != v else v for k, v in asdict(one).items()} for one in self.bins
            ],
        }


def judge(
    model: RewardModel,
    examples: Sequence[Example],
    *,
    seed: int = 0,
) -> RewardQuality:
    """The quality of `model` on examples of its kind; a model of somebody else's is judged on
    pairs. `seed`: of the bootstrap. Raises `RewardModelError` for no examples."""
    if not examples:
        raise RewardModelError(
            "there is no held-out example to judge the reward model by. Sample more problems, or "
            "more completions of each."
        )
    if isinstance(examples[0], Pair):
        return _of_pairs(model, [one for one in examples if isinstance(one, Pair)], seed)
    if isinstance(examples[0], Outcome):
        outcomes = [one for one in examples if isinstance(one, Outcome)]
        predicted_E = model.scores(
            [one.messages for one in outcomes], [one.completion for one in outcomes]
        ).numpy()
        label_E = np.array([one.label for one in outcomes])
        return quality_of_labels(
            predicted_E, label_E, [one.problem for one in outcomes], kind="outcome", seed=seed
        )
    labelled = [one for one in examples if isinstance(one, StepLabels)]
    scores = model.step_scores(
        [one.messages for one in labelled],
        [one.completion for one in labelled],
        [one.ends for one in labelled],
    )
    return quality_of_labels(
        np.array([value for of_one in scores for value in of_one]),
        np.array([label for one in labelled for label in one.labels]),
        [one.problem for one in labelled for _ in one.labels],
        kind="process",
        seed=seed,
    )


def _of_pairs(model: RewardModel, pairs: Sequence[Pair], seed: int) -> RewardQuality:
    messages = [pair.messages for pair in pairs]
    chosen_E = model.scores(messages, [pair.chosen for pair in pairs]).numpy()
    rejected_E = model.scores(messages, [pair.rejected for pair in pairs]).numpy()
    return quality_of_pairs(chosen_E, rejected_E, [pair.problem for pair in pairs], seed=seed)


def quality_of_pairs(
    chosen_E: np.ndarray, rejected_E: np.ndarray, problems: Sequence[str], *, seed: int = 0
) -> RewardQuality:
    """From the logits of each pair. The model's probability of a preference is the sigmoid of their
    difference (Bradley-Terry); calibrated is it where of its choices with probability p a share p
    is right."""
    margin_E = chosen_E.astype(float) - rejected_E
    right_E = np.where(margin_E == 0, 0.5, margin_E > 0)
    sure_E = 1 / (1 + np.exp(-np.abs(margin_E)))
    bins = reliability(sure_E, right_E, low=0.5)
    where = _places(problems)
    return RewardQuality(
        kind="pairs",
        examples=len(margin_E),
        accuracy=_bootstrap(lambda rows: float(right_E[rows].mean()), where, seed),
        chance=0.5,
        auc=None,
        calibration_error=_bootstrap(
            lambda rows: expected_calibration_error(sure_E[rows], right_E[rows], low=0.5),
            where,
            seed,
        ),
        bins=bins,
    )


def quality_of_labels(
    predicted_E: np.ndarray,
    label_E: np.ndarray,
    problems: Sequence[str],
    *,
    kind: str = "outcome",
    seed: int = 0,
) -> RewardQuality:
    """From predictions and labels in [0, 1]. A label that is a share counts as 1 above a half for
    accuracy and AUC, and as what it is for the calibration."""
    is_right_E = label_E > 0.5
    agrees_E = ((predicted_E > 0.5) == is_right_E).astype(float)
    where = _places(problems)
    share = float(is_right_E.mean())
    both = 0 < share < 1
    return RewardQuality(
        kind=kind,
        examples=len(label_E),
        accuracy=_bootstrap(lambda rows: float(agrees_E[rows].mean()), where, seed),
        chance=max(share, 1 - share),
        auc=_bootstrap(lambda rows: auc(predicted_E[rows], is_right_E[rows]), where, seed)
        if both
        else None,
        calibration_error=_bootstrap(
            lambda rows: expected_calibration_error(predicted_E[rows], label_E[rows]), where, seed
        ),
        bins=reliability(predicted_E, label_E),
    )


def auc(predicted_E: np.ndarray, is_right_E: np.ndarray) -> float:
    """The chance that a right example has a higher prediction than a wrong one, ties a half
    (Mann-Whitney); NaN where there is only one of the two."""
    right = int(is_right_E.sum())
    wrong = len(is_right_E) - right
    if right == 0 or wrong == 0:
        return math.nan
    _, place_E, count = np.unique(predicted_E, return_inverse=True, return_counts=True)
    # Equal predictions share the mean of their ranks.
    rank = np.cumsum(count) - (count - 1) / 2
    above = rank[place_E][is_right_E].sum() - right * (right + 1) / 2
    return float(above / (right * wrong))


def reliability(
    predicted_E: np.ndarray, observed_E: np.ndarray, low: float = 0.0
) -> tuple[Bin, ...]:
    """The bins of a reliability diagram over predictions from `low` to 1."""
    edges = np.linspace(low, 1, BINS + 1)
    # The upper end belongs to the last bin.
    bin_E = np.clip(np.searchsorted(edges, predicted_E, side="right") - 1, 0, BINS - 1)
    bins = []
    for number in range(BINS):
        inside_E = bin_E == number
        n = int(inside_E.sum())
        observed = float(observed_E[inside_E].mean()) if n else math.nan
        bins.append(
            Bin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                n=n,
                predicted=float(predicted_E[inside_E].mean()) if n else math.nan,
                observed=observed,
                interval=wilson_interval(observed * n if n else 0, n),
            )
        )
    return tuple(bins)


def expected_calibration_error(
    predicted_E: np.ndarray, observed_E: np.ndarray, low: float = 0.0
) -> float:
    """ECE: sum over the bins of n/N · |observed - predicted| (Guo et al., eq. 3)."""
    bins = [one for one in reliability(predicted_E, observed_E, low) if one.n]
    distance = sum(one.n * abs(one.observed - one.predicted) for one in bins)
    return distance / len(predicted_E)


def _places(problems: Sequence[str]) -> list[np.ndarray]:
    """The rows of each problem."""
    rows: dict[str, list[int]] = {}
    for row, problem in enumerate(problems):
        rows.setdefault(problem, []).append(row)
    return [np.array(of_one) for of_one in rows.values()]


def _bootstrap(
    statistic: Callable[[np.ndarray], float], rows_of: Sequence[np.ndarray], seed: int
) -> Estimate:
    """A statistic of all rows, with the interval of its values over problems drawn anew. Where
    these are all the same (every pair right, one problem alone, problems that are all alike),
    Wilson's over the problems takes its place: so few do not prove that the next is so, too."""
    value = statistic(np.concatenate(rows_of))
    rng = np.random.default_rng(seed)
    n = len(rows_of)
    drawn = [
        statistic(np.concatenate([rows_of[i] for i in rng.integers(0, n, n)])) for _ in range(DRAWS)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    if low == high:
        low, high = wilson_interval(value * n, n)
    return Estimate(value, float(low), float(high), n)
