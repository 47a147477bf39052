"""Labels of steps without a person: from the end of each step the policy itself goes on, and the
step's label is the share of these continuations that come out right.

Source: Math-Shepherd (arXiv 2312.08935), section 3.3, its soft estimation (eq. 4); `hard=True` is
eq. 3: 1 where any of them is right. The last step, which ends with the completion, is labelled by
the gold reward itself: there is nothing to go on with.

What to know of it: a label is the policy's chance from there, not the step's truth. A policy that
never recovers calls a harmless detour wrong, and one that ignores its own working calls a false
step right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from workbench.rewards.model.collect import (
    Collecting,
    OnProgress,
    Sampled,
    Samples,
    generator_of,
    gold_rewards,
)
from workbench.rewards.model.data import StepLabels
from workbench.rewards.score import RewardSet
from workbench.rewards.steps import split_steps, token_ends
from workbench.rollout.types import RolloutEngine, Sampling
from workbench.tasks.types import columns_of


@dataclass(frozen=True)
class _Prefix:
    """A completion up to the end of one of its steps."""

    row: int
    """Of which completion."""
    step: int
    ids: tuple[int, ...]


def label_steps(
    policy: Samples,
    engine: RolloutEngine,
    sampled: Sequence[Sampled],
    gold: RewardSet,
    how: Collecting,
    *,
    steps_by: str = "auto",
    hard: bool = False,
    on_progress: OnProgress = lambda done, of: None,
) -> list[StepLabels]:
    """The steps of each completion with their labels, in [0, 1]. A completion without a step, or
    one that the gold reward did not score, is left out; so is a step none of whose continuations
    was scored. Raises ValueError for gold rewards outside [0, 1]."""
    ends_B = [split_steps(one.text, steps_by) for one in sampled]
    reward_B = _gold(sampled, [one.text for one in sampled], gold)
    _check_share(reward_B)
    labels_BS: list[list[float]] = [[np.nan] * len(ends) for ends in ends_B]
    prefixes = _prefixes(policy, sampled, ends_B)
    for start, part in _batches(prefixes, sampled, how):
        shares = _shares(policy, engine, [sampled[p.row] for p in part], part, gold, how, start)
        for prefix, share in zip(part, shares, strict=True):
            labels_BS[prefix.row][prefix.step] = float(share > 0) if hard else share
        on_progress(start + len(part), len(prefixes))
    found = []
    for row, (one, ends) in enumerate(zip(sampled, ends_B, strict=True)):
        if not ends or np.isnan(reward_B[row]):
            continue
        labels_BS[row][-1] = float(reward_B[row])
        known = [(e, v) for e, v in zip(ends, labels_BS[row], strict=True) if not np.isnan(v)]
        found.append(
            StepLabels(
                one.problem.asked,
                one.messages,
                one.text,
                tuple(end for end, _ in known),
                tuple(label for _, label in known),
            )
        )
    return found


def _prefixes(
    policy: Samples, sampled: Sequence[Sampled], ends_B: Sequence[Sequence[int]]
) -> list[_Prefix]:
    """The beginnings from which to go on, the shortest first: those of one batch are of similar
    length, so that little is padded."""
    found = []
    for row, (one, ends) in enumerate(zip(sampled, ends_B, strict=True)):
        decode = partial(policy.decode, messages=one.messages)
        places = token_ends(decode, one.ids, ends[:-1])
        found += [
            _Prefix(row, step, one.ids[: place + 1])
            for step, place in enumerate(places)
            # Where a step ends inside the last token there is nothing to go on with.
            if place < len(one.ids) - 1
        ]
    return sorted(found, key=lambda prefix: len(sampled[prefix.row].prompt) + len(prefix.ids))


def _batches(
    prefixes: Sequence[_Prefix], sampled: Sequence[Sampled], how: Collecting
) -> list[tuple[int, Sequence[_Prefix]]]:
    at_once = max(how.batch_size // how.roll_ins, 1)
    starts = range(0, len(prefixes), at_once)
    return [(start, prefixes[start : start + at_once]) for start in starts]


def _shares(
    policy: Samples,
    engine: RolloutEngine,
    of: Sequence[Sampled],
    prefixes: Sequence[_Prefix],
    gold: RewardSet,
    how: Collecting,
    start: int,
) -> list[float]:
    """Of each beginning the mean gold reward of its continuations, NaN where none was scored."""
    prompts = [[*one.prompt, *p.ids] for one, p in zip(of, prefixes, strict=True)]
    # A whole completion has no more tokens than a sampled one may have.
    room = [max(how.max_completion_length - len(prefix.ids), 1) for prefix in prefixes]
    sampling = Sampling(max(room), how.temperature)
    generator = generator_of(how.seed, 1, start)
    rollout = engine.generate(prompts, how.roll_ins, sampling, generator)
    texts = []
    for row, ids in enumerate(rollout.completion_lists()):
        place = row // how.roll_ins
        whole = [*prefixes[place].ids, *ids[: room[place]]]
        texts.append(policy.decode(whole, of[place].messages))
    reward_B = _gold([one for one in of for _ in range(how.roll_ins)], texts, gold)
    _check_share(reward_B)
    by_prefix = reward_B.reshape(len(prefixes), how.roll_ins)
    return [float(np.mean(r[~np.isnan(r)])) if not np.isnan(r).all() else np.nan for r in by_prefix]


def _gold(sampled: Sequence[Sampled], texts: Sequence[str], gold: RewardSet) -> np.ndarray:
    """The gold reward of other texts in the samples' places."""
    columns = columns_of([one.problem for one in sampled])
    return gold_rewards([one.messages for one in sampled], texts, columns, gold)


def _check_share(reward_B: np.ndarray) -> None:
    known = reward_B[~np.isnan(reward_B)]
    if len(known) and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError(
            f"the gold reward goes from {known.min():g} to {known.max():g}: a step's label is a "
            "share, so that it must lie between 0 and 1. Give a gold reward that does."
        )
