"""Completions that go on from the middle of one: the same prompt, the tokens that stand already,
and then what the policy writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from workbench.rollout.types import Rollout, RolloutEngine, Sampling


def continuations(
    engine: RolloutEngine,
    prompt_ids: Sequence[int],
    begun_ids: Sequence[int],
    count: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> Rollout:
    """`count` continuations of a completion that begins with `begun_ids` (none of them: whole
    completions).

    The rollout has one prompt, `prompt_ids + begun_ids`, and as completions what was sampled behind
    it: at most what `sampling.max_completion_length` leaves, which counts the begun tokens too. The
    draws come from `generator` alone. Raises ValueError where nothing is left to be sampled, and
    what the engine raises.
    """
    left = sampling.max_completion_length - len(begun_ids)
    if left < 1:
        raise ValueError(
            f"{len(begun_ids)} tokens are written already, and max_completion_length="
            f"{sampling.max_completion_length} leaves none to be sampled. Go on from an earlier "
            "token, or raise it."
        )
    begun = [*prompt_ids, *begun_ids]
    return engine.generate([begun], count, replace(sampling, max_completion_length=left), generator)
