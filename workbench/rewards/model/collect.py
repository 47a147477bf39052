"""What a policy samples, scored by a gold reward: the raw material of a reward model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from workbench.rewards.functions import as_messages
from workbench.rewards.model.data import GoldScored, Message
from workbench.rewards.score import RewardSet
from workbench.rollout.types import RolloutEngine, Sampling
from workbench.tasks.types import Problem, Task, columns_of

OnProgress = Callable[[int, int], None]
"""Told how many problems, or steps, of how many are done."""


class Samples(Protocol):
    """What of a policy is asked here; `workbench.policy.Policy` has it."""

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]: ...

    def decode(self, ids: Sequence[int], messages: Sequence[Message] = ()) -> str: ...


@dataclass(frozen=True)
class Collecting:
    """How completions are sampled for a reward model."""

    samples: int = 8
    """Completions of a problem."""
    max_completion_length: int = 48
    """Tokens of a completion, at most."""
    temperature: float = 1.0
    """Of the samples: as in the training that the model is for."""
    roll_ins: int = 8
    """K: continuations from the end of each step (Math-Shepherd takes 8)."""
    batch_size: int = 128
    """Completions at a time."""
    seed: int = 0
    """Of all that is drawn."""


@dataclass(frozen=True)
class Sampled:
    """One completion with its tokens."""

    problem: Problem
    messages: tuple[Message, ...]
    prompt: tuple[int, ...]
    """Token ids of the conversation."""
    ids: tuple[int, ...]
    """Token ids of the completion."""
    text: str
    """The assistant's whole message."""


def sample(
    policy: Samples,
    engine: RolloutEngine,
    task: Task,
    problems: Sequence[Problem],
    how: Collecting,
    *,
    on_progress: OnProgress = lambda done, of: None,
) -> list[Sampled]:
    """`how.samples` completions of each problem, those of one problem side by side. The same seed
    gives the same ones."""
    sampling = Sampling(how.max_completion_length, how.temperature)
    at_once = max(how.batch_size // how.samples, 1)
    found: list[Sampled] = []
    for start in range(0, len(problems), at_once):
        part = problems[start : start + at_once]
        messages = [tuple(task.messages(problem)) for problem in part]
        prompts = [policy.encode_prompt(talk) for talk in messages]
        rollout = engine.generate(prompts, how.samples, sampling, generator_of(how.seed, 0, start))
        for row, ids in enumerate(rollout.completion_lists()):
            of = row // how.samples
            text = policy.decode(ids, messages[of])
            found.append(Sampled(part[of], messages[of], tuple(prompts[of]), tuple(ids), text))
        on_progress(start + len(part), len(problems))
    return found


def gold_rewards(
    prompts: Sequence[Sequence[Message]],
    completions: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    gold: RewardSet,
) -> np.ndarray:
    """The gold reward of each completion, float32, NaN where nothing scored it. All lists have an
    entry per completion, as for `RewardSet.score`."""
    table = gold.score(
        prompts=[list(talk) for talk in prompts],
        completions=as_messages(completions),
        columns=columns,
        step=0,
    )
    return table.total_B(gold.weights)


def gold_scored(
    prompts: Sequence[Sequence[Message]],
    completions: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    gold: RewardSet,
) -> list[GoldScored]:
    """The completions with their gold rewards; what could not be scored is left out. Completions
    that answer the same conversation are of one problem."""
    reward_B = gold_rewards(prompts, completions, columns, gold)
    return [
        GoldScored(_asked(talk), tuple(talk), text, float(reward))
        for talk, text, reward in zip(prompts, completions, reward_B, strict=True)
        if not np.isnan(reward)
    ]


def gold_scored_samples(sampled: Sequence[Sampled], gold: RewardSet) -> list[GoldScored]:
    """The same of what `sample` gave."""
    columns = columns_of([one.problem for one in sampled])
    texts = [one.text for one in sampled]
    return gold_scored([one.messages for one in sampled], texts, columns, gold)


def _asked(talk: Sequence[Message]) -> str:
    """What tells one problem from another: all turns, the system message apart."""
    return "\n\n".join(turn["content"] for turn in talk if turn["role"] != "system")


def generator_of(seed: int, *place: int) -> torch.Generator:
    """A generator of its own for each batch, so that none depends on the batches before it."""
    words = np.random.SeedSequence([seed, *place]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))


def gold_set(gold: RewardSet | Sequence[Any] | str) -> RewardSet:
    """A set of reward functions, from itself or from functions and names."""
    return gold if isinstance(gold, RewardSet) else RewardSet(gold)
