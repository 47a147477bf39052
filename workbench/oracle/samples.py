"""What the batches of a step are drawn from: the completions of some problems, with all that the
objective asks of them, as arrays without a model.

Suffixes: C completions of all problems together, T tokens, K reward functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.oracle.scored import OracleError, ScoredCompletions

ROUNDING = 1e-12
"""Share of a reward by which a mean of such rewards may miss it."""


@dataclass(frozen=True)
class SampleSpace:
    """C completions of one or several problems, those of a problem side by side."""

    problem_C: np.ndarray
    """int64, which problem each belongs to: 0, 0, ..., 1, ..."""

    weight_C: np.ndarray
    """float64, how likely the sampler is to draw it; those of a problem add up to 1."""

    rewards_CK: np.ndarray
    """float64, what each reward function gives."""

    reward_weights: np.ndarray
    """float64 (K,), what the functions' scores are multiplied with."""

    mask_CT: np.ndarray
    """bool, True on tokens."""

    truncated_C: np.ndarray
    """bool, True where no end token came."""

    logp_CT: np.ndarray
    """float64, log-probability of each token under the weights at which the gradient is taken."""

    old_logp_CT: np.ndarray
    """The same at the beginning of the update phase: what the ratio divides by."""

    sampler_logp_CT: np.ndarray
    """The same under the sampler."""

    ref_logp_CT: np.ndarray | None = None
    """The same under the reference; None without one."""

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return int(self.problem_C[-1]) + 1

    @property
    def reward_C(self) -> np.ndarray:
        """The weighted sum of the reward functions."""
        reward_C: np.ndarray = self.rewards_CK @ self.reward_weights
        return reward_C

    def of_problem(self, problem: int) -> SampleSpace:
        """The completions of one problem alone."""
        own_C = self.problem_C == problem
        arrays = {
            name: value[own_C]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray) and name != "reward_weights"
        }
        return replace(self, **arrays | {"problem_C": np.zeros(int(own_C.sum()), dtype=np.int64)})

    def expected_reward_of(self, weight_C: np.ndarray) -> np.ndarray:
        """J of each problem, given how likely its completions are; one number for each."""
        return np.bincount(self.problem_C, weight_C * self.reward_C)

    def true_coefficient_C(self) -> np.ndarray:
        """What the true gradient, the mean of the problems' expected rewards', weighs grad log pi
        of each completion with: p (R - J) / problems, under the weights at which it is taken."""
        p_C = np.exp((self.logp_CT * self.mask_CT).sum(1))
        # Only what was found is known, also where the policy has moved away from its sampler.
        weight_C = p_C / np.bincount(self.problem_C, p_C)[self.problem_C]
        centred_C = self.reward_C - self.expected_reward_of(weight_C)[self.problem_C]
        # Where all are paid alike J is their reward but for rounding, which points somewhere.
        centred_C[np.abs(centred_C) < ROUNDING * np.abs(self.reward_C)] = 0.0
        coefficient_C: np.ndarray = weight_C * centred_C / self.problems
        return coefficient_C


def sample_space(
    scored: Sequence[ScoredCompletions],
    *,
    logps: Sequence[np.ndarray] | None = None,
    old_logps: Sequence[np.ndarray] | None = None,
    ref_logps: Sequence[np.ndarray] | None = None,
) -> SampleSpace:
    """The completions of these problems, drawn as the policy that was enumerated would.

    `logps`, `old_logps` and `ref_logps` hold (C, T) log-probabilities of each problem's completions
    (`token_logps`) at the weights of now, at the beginning of the update phase and of the
    reference; None: the sampler's for the first two. With other weights in the first one the
    samples are stale; with the same in the second the trainer has noticed.
    """
    if not scored:
        raise OracleError("no problem was given: an estimator needs one at least.")
    if len({(one.names, one.weights) for one in scored}) > 1:
        raise OracleError("the problems were scored by different reward functions: use one set.")
    width = max(one.enumeration.mask_CT.shape[1] for one in scored)
    sampler = _joined([one.enumeration.token_logp_CT for one in scored], width)
    return SampleSpace(
        problem_C=np.repeat(np.arange(len(scored)), [len(one.texts) for one in scored]),
        weight_C=np.concatenate([one.weight_C for one in scored]),
        rewards_CK=np.concatenate([one.rewards_CK for one in scored]),
        reward_weights=np.asarray(scored[0].weights),
        mask_CT=_joined([one.enumeration.mask_CT for one in scored], width),
        truncated_C=np.concatenate([one.enumeration.truncated_C for one in scored]),
        logp_CT=sampler if logps is None else _joined(logps, width),
        old_logp_CT=sampler if old_logps is None else _joined(old_logps, width),
        sampler_logp_CT=sampler,
        ref_logp_CT=None if ref_logps is None else _joined(ref_logps, width),
    )


def _joined(arrays: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Arrays of rows of different widths below each other, 0 where a row has nothing."""
    padded = [np.pad(array, ((0, 0), (0, width - array.shape[1]))) for array in arrays]
    return np.concatenate(padded)
