"""From a policy to `Snapshots`: enumerated, scored, at one moment or along a run's kept steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.rewards import DEFAULT_REWARDS
from workbench.widgets.oracle.snapshots import Snapshots, joined

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.oracle import ScoredCompletions
    from workbench.policy.policy import Policy
    from workbench.rewards import RewardSet
    from workbench.tasks import Problem, Task

OnProgress = Callable[[int, int], None]
"""Called with how many enumerations are done, and of how many."""


def enumerated(
    policy: Policy,
    task: Task,
    problem: Problem,
    rewards: RewardSet | Sequence[str] = DEFAULT_REWARDS,
    *,
    moment: str = "now",
    mass: float = 0.999,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    should_stop: Callable[[], bool] | None = None,
) -> Snapshots:
    """All that `policy` says to `problem`, up to 1 - `mass` of the probability, scored by `rewards`
    as in training. Raises `EnumerationError`, `OracleError`, and `RolloutCancelledError` when
    `should_stop()`."""
    from workbench.oracle import oracle_of

    found = oracle_of(
        policy,
        task,
        problem,
        as_reward_set(rewards),
        max_new_tokens=max_new_tokens,
        mass=mass,
        temperature=temperature,
        should_stop=should_stop,
    )
    return as_snapshots(policy, found, moment)


def as_snapshots(policy: Policy, scored: ScoredCompletions, moment: str = "now") -> Snapshots:
    """What the oracle found of one problem, with the text of each token."""
    lists = scored.enumeration.completion_lists()
    return Snapshots(
        question=scored.problem.question,
        answer=scored.problem.answer,
        moments=(moment,),
        pieces=tuple(tuple(policy.pieces(ids)) for ids in lists),
        ids=tuple(tuple(ids) for ids in lists),
        reward_C=scored.reward_C,
        probability_SC=scored.enumeration.p_C[None, :],
    )


def as_reward_set(rewards: RewardSet | Sequence[str]) -> RewardSet:
    """Rewards given by name as a `RewardSet`."""
    from workbench.rewards import RewardSet

    return rewards if isinstance(rewards, RewardSet) else RewardSet(list(rewards))


def along_weights(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    weights: Mapping[str, Mapping[str, Tensor]],
    rewards: RewardSet | Sequence[str] = DEFAULT_REWARDS,
    *,
    mass: float = 0.999,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    on_progress: OnProgress = lambda done, of: None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Snapshots]:
    """The problems under several weights of one policy, whose names become the moments; a
    `Snapshots` for each problem. The policy's own weights are put back, whatever happens."""
    parts: list[dict[str, Snapshots]] = [{} for _ in problems]
    whole = len(weights) * len(problems)
    done = 0
    with policy.own_weights_kept():
        for moment, state in weights.items():
            policy.load_trainable_state(dict(state))
            for part, problem in zip(parts, problems, strict=True):
                on_progress(done, whole)
                part[moment] = enumerated(
                    policy,
                    task,
                    problem,
                    rewards,
                    moment=moment,
                    mass=mass,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    should_stop=should_stop,
                )
                done += 1
    on_progress(whole, whole)
    return [joined(part) for part in parts]
