"""What the enumerated completions are worth, and what follows exactly: expected reward, pass@k,
entropy, KL to the reference.

An expectation is over the completions that were found, weighted as if they were all: what the lost
ones would add is at most their probability times the range of the reward. Entropy and KL count all
that was lost as one more outcome; both are lower bounds then, since taking outcomes together can
only lower them (log sum inequality).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.errors import WorkbenchError, inert
from workbench.objective.advantages import EPS
from workbench.oracle.enumeration import Enumeration
from workbench.oracle.search import enumerate_completions
from workbench.policy.policy import Policy
from workbench.rewards import RewardSet, strict_correct
from workbench.rewards.functions import as_messages
from workbench.tasks.types import Problem, Task, columns_of


class OracleError(WorkbenchError, ValueError):
    """What cannot be known exactly: says what was wrong and what to do."""


@dataclass(frozen=True)
class ScoredCompletions:
    """C completions of one problem with their rewards from K functions."""

    enumeration: Enumeration
    """The completions and their probabilities."""

    problem: Problem
    """What was asked."""

    texts: tuple[str, ...]
    """Each completion as the reward functions saw it: the assistant's whole message."""

    rewards_CK: np.ndarray
    """float64, what each function gave."""

    names: tuple[str, ...]
    """The K functions."""

    weights: tuple[float, ...]
    """What their scores are multiplied with before they are added up."""

    right_C: np.ndarray
    """bool, whether a completion has the format and the right answer, as accuracy counts it."""

    @property
    def reward_C(self) -> np.ndarray:
        """The weighted sum of the functions."""
        reward_C: np.ndarray = self.rewards_CK @ np.asarray(self.weights)
        return reward_C

    @property
    def weight_C(self) -> np.ndarray:
        """Probability of each completion among those that were found."""
        return self.enumeration.p_C / self.enumeration.found_mass

    @property
    def expected_reward(self) -> float:
        """J, what a completion earns on average."""
        return math.fsum(self.weight_C * self.reward_C)

    @property
    def expected_reward_error(self) -> float:
        """How far J may be off, if no lost completion earns less or more than all found ones."""
        return float(self.enumeration.lost_mass * np.ptp(self.reward_C))

    @property
    def reward_std(self) -> float:
        """Standard deviation of a completion's reward."""
        return math.sqrt(math.fsum(self.weight_C * (self.reward_C - self.expected_reward) ** 2))

    @property
    def accuracy(self) -> float:
        """Probability that a completion is right."""
        return math.fsum(self.weight_C * self.right_C)

    def pass_at(self, k: int) -> float:
        """Probability that one of k completions is right at least. Raises `OracleError`."""
        if k < 1:
            raise OracleError(f"pass@{k}: k must be at least 1.")
        return 1 - (1 - self.accuracy) ** k

    @property
    def entropy(self) -> float:
        """Entropy of a completion in nats; a lower bound, what was lost counting as one outcome."""
        found = -math.fsum(self.enumeration.p_C * self.enumeration.logp_C)
        lost = max(self.enumeration.lost_mass, 0.0)
        return found - (lost * math.log(lost) if lost > 0 else 0.0)

    def kl_to(self, logp_C: np.ndarray) -> float:
        """KL of the policy to another one that gives these completions the log-probabilities
        `logp_C` (see `token_logps`), in nats; a lower bound as `entropy` is one.

        Deviation from what a run measures: there k3 of each token is averaged over tokens; this is
        the KL of the whole completion, the sum over its tokens.
        """
        p_C = self.enumeration.p_C
        found = math.fsum(p_C * (self.enumeration.logp_C - logp_C))
        lost = max(self.enumeration.lost_mass, 0.0)
        others = 1 - math.fsum(np.exp(logp_C))
        # Rounding of the other policy's float32 may leave nothing for what is as good as nothing.
        if lost <= 0 or others <= 0:
            return found
        return found + lost * math.log(lost / others)

    def advantage_C(self, *, scale: bool = True) -> np.ndarray:
        """GRPO's advantage of each completion in a group so large that mean and std of the group
        are those of the policy; without `scale` the std does not divide (Dr. GRPO). What a group of
        G gives on average is `expected_coefficients`' business."""
        centred_C = self.reward_C - self.expected_reward
        return centred_C / (self.reward_std + EPS) if scale else centred_C


def score_completions(
    policy: Policy,
    task: Task,
    problem: Problem,
    enumeration: Enumeration,
    rewards: RewardSet,
    *,
    timeout: float | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ScoredCompletions:
    """Score each completion once. Raises `OracleError` where a function did not score one of them
    or an answer could not be compared in time: an expectation needs all."""
    messages = task.messages(problem)
    lists = enumeration.completion_lists()
    texts = tuple(policy.decode(ids, messages) for ids in lists)
    problems = [problem] * len(texts)
    table = rewards.score(
        prompts=[task.messages(problem) for _ in texts],
        completions=as_messages(texts),
        completion_ids=lists,
        columns=columns_of(problems),
        step=0,
        timeout=timeout,
        should_stop=should_stop,
    )
    rewards_CK = table.rewards_BK.astype(np.float64)
    _check_scored(rewards_CK, table.names, texts)
    return ScoredCompletions(
        enumeration=enumeration,
        problem=problem,
        texts=texts,
        rewards_CK=rewards_CK,
        names=table.names,
        weights=rewards.weights,
        right_C=np.array([_is_right(text, problem.answer) for text in texts]),
    )


def _check_scored(rewards_CK: np.ndarray, names: tuple[str, ...], texts: tuple[str, ...]) -> None:
    unscored = np.argwhere(~np.isfinite(rewards_CK))
    if len(unscored):
        row, column = unscored[0]
        raise OracleError(
            f"reward function {names[column]!r} gave {rewards_CK[row, column]} for the completion "
            f"{inert(texts[row])[:60]!r}: an exact expectation needs a finite score for every "
            "completion. Let the function give a number, 0 for what earns nothing."
        )


def _is_right(text: str, gold: str) -> bool:
    right = strict_correct(text, gold)
    if right is None:
        raise OracleError(
            f"the completion {inert(text)[:60]!r} could not be compared with the answer "
            f"{inert(gold)[:60]!r} in time. Leave this problem out."
        )
    return right


def oracle_of(
    policy: Policy,
    task: Task,
    problem: Problem,
    rewards: RewardSet,
    *,
    max_new_tokens: int,
    mass: float = 0.999,
    min_probability: float | None = None,
    temperature: float = 1.0,
    max_rows: int = 4096,
    should_stop: Callable[[], bool] | None = None,
) -> ScoredCompletions:
    """Enumerate the completions of a problem and score them: `enumerate_completions`, then
    `score_completions`."""
    enumeration = enumerate_completions(
        policy,
        policy.encode_prompt(task.messages(problem)),
        max_new_tokens=max_new_tokens,
        mass=mass,
        min_probability=min_probability,
        temperature=temperature,
        max_rows=max_rows,
        should_stop=should_stop,
    )
    return score_completions(policy, task, problem, enumeration, rewards, should_stop=should_stop)
