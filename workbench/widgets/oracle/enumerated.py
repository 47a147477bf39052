"""From a policy to `Snapshots`: enumerated, scored, at one moment or along a run's kept steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from workbench.widgets.oracle.snapshots import Snapshots, joined

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.oracle import Enumeration
    from workbench.policy.policy import Policy
    from workbench.rewards import RewardSet
    from workbench.tasks import Problem, Task

OnProgress = Callable[[int, int], None]
"""Called with how many enumerations are done, and of how many."""


def enumerated(
    policy: Policy,
    task: Task,
    problem: Problem,
    rewards: RewardSet | Sequence[str] = ("format", "answer"),
    *,
    moment: str = "now",
    mass: float = 0.999,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    should_stop: Callable[[], bool] | None = None,
) -> Snapshots:
    """All that `policy` says to `problem`, up to 1 - `mass` of the probability, scored by `rewards`
    as in training. Raises `EnumerationError`, `RolloutCancelledError` when `should_stop()`."""
    from workbench.oracle import enumerate_completions

    found = enumerate_completions(
        policy,
        policy.encode_prompt(task.messages(problem)),
        max_new_tokens=max_new_tokens,
        mass=mass,
        temperature=temperature,
        should_stop=should_stop,
    )
    return as_snapshots(policy, task, problem, rewards, found, moment)


def as_snapshots(
    policy: Policy,
    task: Task,
    problem: Problem,
    rewards: RewardSet | Sequence[str],
    found: Enumeration,
    moment: str = "now",
) -> Snapshots:
    """An enumeration with the texts and the rewards of its completions."""
    lists = found.completion_lists()
    return Snapshots(
        question=problem.question,
        answer=problem.answer,
        moments=(moment,),
        pieces=tuple(tuple(policy.pieces(ids)) for ids in lists),
        ids=tuple(tuple(ids) for ids in lists),
        reward_C=scores(policy, task, problem, rewards, lists),
        probability_SC=found.p_C[None, :],
    )


def scores(
    policy: Policy,
    task: Task,
    problem: Problem,
    rewards: RewardSet | Sequence[str],
    completions: Sequence[Sequence[int]],
) -> np.ndarray:
    """The total reward of each completion of one problem, float64. What no function scored counts
    0, since it moves nothing."""
    from workbench.rewards import RewardSet
    from workbench.rewards.functions import as_messages
    from workbench.tasks.types import columns_of

    reward_set = rewards if isinstance(rewards, RewardSet) else RewardSet(list(rewards))
    messages = task.messages(problem)
    rows = [problem] * len(completions)
    table = reward_set.score(
        prompts=[messages] * len(completions),
        completions=as_messages([policy.decode(ids, messages) for ids in completions]),
        completion_ids=[list(ids) for ids in completions],
        columns=columns_of(rows),
        step=0,
    )
    total_C: np.ndarray = np.nan_to_num(table.total_B(reward_set.weights).astype(float))
    return total_C


def along_weights(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    weights: Mapping[str, Mapping[str, Tensor]],
    rewards: RewardSet | Sequence[str] = ("format", "answer"),
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
    with own_weights_kept(policy):
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


@contextmanager
def own_weights_kept(policy: Policy) -> Iterator[None]:
    """Inside, the policy may hold other weights."""
    own = {name: tensor.detach().clone() for name, tensor in policy.trainable_state().items()}
    try:
        yield
    finally:
        policy.load_trainable_state(own)
