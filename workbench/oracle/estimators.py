"""How good the gradient of a setting is, held against the true one: where its mean points, and how
far one batch is from it.

Both are needed to choose: a biased estimator's single batch may well be the better step. All of it
is arithmetic in the Gram matrix.

Suffixes: N gradients, S batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.config import GRPOConfig
from workbench.oracle.coefficients import (
    drawn_coefficients,
    expected_coefficients,
    has_expectation,
)
from workbench.oracle.gram import GradientGram
from workbench.oracle.scored import OracleError

BLOCKS = 20
"""Parts that the batches are cut into for the error of the mean's cosine."""


@dataclass(frozen=True)
class EstimatorQuality:
    """A setting's gradient beside the true one."""

    cosine_of_mean: float
    """Cosine between its expectation and the truth: 1 where it has no bias but its length. NaN
    where the mean is 0, or lost in the noise of the batches."""

    cosine_of_mean_error: float
    """Standard error of that; 0 where the mean is exact."""

    exact_mean: bool
    """Whether the mean is over all batches that could be drawn, not over those that were."""

    length: float
    """The mean's part along the truth over the truth's length: what a learning rate makes up for.
    NaN, as all cosines are, where the truth is 0: there is nothing to be learnt."""

    bias: float
    """The mean's part across the truth over its part along it: the tangent of the angle. It does
    not shrink with larger batches."""

    batch_cosine: float
    """Cosine between one batch's gradient and the truth, averaged over the batches that have a
    gradient."""

    batch_cosine_error: float
    """Standard error of that."""

    signal_to_noise: float
    """Squared length of the mean over the mean squared distance of a batch from it."""

    dead_share: float
    """Share of batches without any gradient."""

    batches: int
    """How many were drawn."""

    @property
    def degrees(self) -> float:
        """Angle between the mean and the truth; NaN where `cosine_of_mean` is."""
        # Not min(1.0, cosine): beside NaN that is 1, an angle of 0.
        return math.degrees(math.acos(max(min(self.cosine_of_mean, 1.0), -1.0)))


def estimator_quality(
    gram: GradientGram,
    config: GRPOConfig,
    *,
    batches: int = 400,
    seed: int = 0,
    prompts_per_step: int | None = None,
) -> EstimatorQuality:
    """Draw batches as `config` would and hold their gradients against the true one.

    The mean is exact where groups can be counted (`has_expectation`), else that of the batches,
    its squared length freed of their noise. `prompts_per_step` problems are in each batch; None:
    all. Raises `OracleError` for fewer than two batches, which have no spread, and for settings
    that the table cannot answer.
    """
    if batches < 2:
        raise OracleError(
            f"batches={batches}: how far one is from another takes two at least, and a figure to "
            "rely on some hundred."
        )
    drawn = drawn_coefficients(
        gram.space, config, batches=batches, seed=seed, prompts_per_step=prompts_per_step
    )
    estimate_SN = np.array([gram.coordinates(*batch) for batch in drawn])
    truth_N = gram.truth()
    against_S = estimate_SN @ (gram.gram_NN @ truth_N)
    squared_S = ((estimate_SN @ gram.gram_NN) * estimate_SN).sum(1)
    exact = has_expectation(gram.space, config)
    truth_squared = gram.inner(truth_N, truth_N)
    if exact:
        mean_N = expected_gradient(gram, config)
        along = gram.inner(mean_N, truth_N)
        squared = gram.inner(mean_N, mean_N)
        error = 0.0
    else:
        along = float(against_S.mean())
        squared = _squared_mean(gram, estimate_SN, squared_S)
        error = _error_of_cosine(gram, estimate_SN, truth_N)
    cosine = _cosine(along, squared, truth_squared)
    live_S = squared_S > 0
    known_S = live_S & (truth_squared > 0)
    cosine_S = against_S[known_S] / np.sqrt(squared_S[known_S] * truth_squared)
    of_batch, of_batch_error = _mean_and_error(cosine_S)
    noise = float(squared_S.mean()) - squared
    return EstimatorQuality(
        cosine_of_mean=cosine,
        cosine_of_mean_error=error,
        exact_mean=exact,
        length=along / truth_squared if truth_squared > 0 else math.nan,
        bias=math.sqrt(max(0.0, 1 - cosine**2)) / cosine if cosine else math.nan,
        batch_cosine=of_batch,
        batch_cosine_error=of_batch_error,
        signal_to_noise=squared / noise if noise > 0 else math.inf,
        dead_share=float(1 - live_S.mean()),
        batches=batches,
    )


def expected_gradient(gram: GradientGram, config: GRPOConfig) -> np.ndarray:
    """(N,) the exact mean of a step's gradient, problem by problem. Raises `OracleError` where it
    is not known (`has_expectation`)."""
    space = gram.space
    mean_N = np.zeros(len(gram.gram_NN))
    for problem in range(space.problems):
        rows_C = np.flatnonzero(space.problem_C == problem)
        coefficient_CT = expected_coefficients(space.of_problem(problem), config)
        mean_N += gram.coordinates(rows_C, coefficient_CT) / space.problems
    return mean_N


def _mean_and_error(values_S: np.ndarray) -> tuple[float, float]:
    """A mean and its standard error; NaN of nothing."""
    if len(values_S) == 0:
        return math.nan, math.nan
    return float(values_S.mean()), float(values_S.std() / math.sqrt(len(values_S)))


def _cosine(along: float, squared: float, truth_squared: float) -> float:
    if squared <= 0 or truth_squared <= 0:
        return math.nan
    return float(along / math.sqrt(squared * truth_squared))


def _squared_mean(gram: GradientGram, estimate_SN: np.ndarray, squared_S: np.ndarray) -> float:
    """Squared length of the mean without the noise that a mean of S batches still has: the mean
    inner product of two different batches."""
    batches = len(estimate_SN)
    sum_N = estimate_SN.sum(0)
    return float((gram.inner(sum_N, sum_N) - squared_S.sum()) / (batches * (batches - 1)))


def _error_of_cosine(gram: GradientGram, estimate_SN: np.ndarray, truth_N: np.ndarray) -> float:
    """Standard error of the mean's cosine: the jackknife, leaving out one block of batches at a
    time. NaN from two batches: what is left of them has no noise to be freed of."""
    blocks = min(BLOCKS, len(estimate_SN))
    if blocks < 3:
        return math.nan
    truth_squared = gram.inner(truth_N, truth_N)
    found = []
    for block in np.array_split(np.arange(len(estimate_SN)), blocks):
        kept_SN = np.delete(estimate_SN, block, axis=0)
        squared_S = ((kept_SN @ gram.gram_NN) * kept_SN).sum(1)
        along = gram.inner(kept_SN.mean(0), truth_N)
        found.append(_cosine(along, _squared_mean(gram, kept_SN, squared_S), truth_squared))
    return float(np.std(found) * math.sqrt(blocks - 1))
