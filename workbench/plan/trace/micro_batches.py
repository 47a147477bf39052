"""The micro-batches of a made-up rollout in which every prompt and every completion is as long as
the config allows."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.plan.trace.skeleton import Skeleton
from workbench.policy.pieces import micro_batches
from workbench.policy.ways import Ways
from workbench.rollout.types import Rollout


def longest_rollout(config: GRPOConfig, prompt_tokens: int) -> Rollout:
    """A rollout of the config's size in which everything has its greatest length; token ids are all
    0. On the CPU, small."""
    N, G, T = config.prompts_per_step, config.num_generations, config.max_completion_length
    ids_BT, mask_BT = (
        torch.zeros(N * G, T, dtype=torch.long),
        torch.ones(N * G, T, dtype=torch.bool),
    )
    return Rollout(
        prompt_ids_NP=torch.zeros(N, prompt_tokens, dtype=torch.long),
        prompt_mask_NP=torch.ones(N, prompt_tokens, dtype=torch.bool),
        completion_ids_BT=ids_BT,
        mask_BT=mask_BT,
        sampler_logp_BT=torch.zeros(N * G, T),
        truncated_B=torch.zeros(N * G, dtype=torch.bool),
        num_generations=G,
    )


def largest_micro_batch(
    model: Any, config: GRPOConfig, prompt_tokens: int
) -> tuple[Rollout, Tensor]:
    """The rows of the largest forward and backward that a step may have, and their rollout.

    Where a budget of tokens cuts, completions of the greatest length need not make it: three
    groups of them may be too much and two leave room, where three a little shorter fill it.
    """
    longest = longest_rollout(config, prompt_tokens)
    rows_R = torch.arange(config.rows_at_once)
    pieces = micro_batches(model, longest, rows_R, config)
    candidates = [(longest, piece) for piece in pieces]
    if len(pieces) > 1:
        unit = config.num_generations if Ways(model).shares_prompts else 1
        for count in range(unit, len(rows_R) + 1, unit):
            shorter = _filling(model, longest, rows_R[:count], config.micro_batch_tokens)
            if shorter is None:
                break
            candidates.append((shorter, rows_R[:count]))
    return max(candidates, key=lambda found: _tokens(model, *found))


def _filling(model: Any, longest: Rollout, rows_R: Tensor, budget: int) -> Rollout | None:
    """The rollout with completions of the greatest length of which these rows are within the
    budget; None where a token of each is too much."""

    def tokens(length: int) -> int:
        return _tokens(model, _shortened(longest, length), rows_R)

    length = bisect_right(range(1, longest.mask_BT.shape[1] + 1), budget, key=tokens)
    return _shortened(longest, length) if length > 0 else None


def _tokens(model: Any, rollout: Rollout, rows_R: Tensor) -> int:
    return Ways(model).computed_tokens(rollout.lengths, rows_R.tolist())


def _shortened(longest: Rollout, tokens: int) -> Rollout:
    """The same rollout with completions of so many tokens."""
    return replace(
        longest,
        completion_ids_BT=longest.completion_ids_BT[:, :tokens],
        mask_BT=longest.mask_BT[:, :tokens],
        sampler_logp_BT=longest.sampler_logp_BT[:, :tokens],
    )


def tokens_of_batch(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> int:
    """Tokens that one pass over all completions runs through the layers, prompts counted as often
    as they are computed."""
    return sum(tokens_of_passes(skeleton, config, prompt_tokens))


def tokens_of_passes(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> list[int]:
    """The same of each micro-batch of a longest rollout."""

    def count() -> list[int]:
        rollout, model = longest_rollout(config, prompt_tokens), skeleton.model
        updates = torch.arange(config.completions_per_step).chunk(config.updates_per_rollout)
        return [
            _tokens(model, rollout, piece)
            for rows_R in updates
            for piece in micro_batches(model, rollout, rows_R, config)
        ]

    return skeleton.once(("pieces", *sizes(config, prompt_tokens)), count)


def sizes(config: GRPOConfig, prompt_tokens: int) -> tuple[float, ...]:
    """All that the passes of a step's micro-batches depend on, the model apart."""
    return (
        config.prompts_per_step,
        config.num_generations,
        config.updates_per_rollout,
        config.max_completion_length,
        config.micro_batch_size or 0,
        config.micro_batch_tokens,
        config.method_facts.of_pairs,
        config.temperature,
        prompt_tokens,
    )
