"""The micro-batches of a made-up rollout in which every prompt and every completion is as long as
the config allows."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.plan.trace.skeleton import Skeleton
from workbench.policy.pieces import micro_batches
from workbench.policy.ways import Ways
from workbench.rollout.types import Lengths, Rollout


def longest_rollout(config: GRPOConfig, prompt_tokens: int) -> Rollout:
    """A rollout of the config's size in which everything has its greatest length; token ids are all
    0. On the CPU, small."""
    return _rollout(config, prompt_tokens, config.max_completion_length)


def _rollout(config: GRPOConfig, prompt_tokens: int, completion_tokens: int) -> Rollout:
    N, B = config.prompts_per_step, config.completions_per_step
    shape_BT, shape_NP = (B, completion_tokens), (N, prompt_tokens)
    return Rollout(
        prompt_ids_NP=torch.zeros(shape_NP, dtype=torch.long),
        prompt_mask_NP=torch.ones(shape_NP, dtype=torch.bool),
        completion_ids_BT=torch.zeros(shape_BT, dtype=torch.long),
        mask_BT=torch.ones(shape_BT, dtype=torch.bool),
        sampler_logp_BT=torch.zeros(shape_BT),
        truncated_B=torch.zeros(B, dtype=torch.bool),
        num_generations=config.num_generations,
    )


def largest_micro_batch(
    model: Any, config: GRPOConfig, prompt_tokens: int
) -> tuple[Rollout, Tensor]:
    """The rows of the largest forward and backward that a step may have, and their rollout.

    Where a budget of tokens cuts, that is not one of greatest lengths: of these two groups may be
    too much and one leaves room, where two that are a little shorter fill it.
    """
    longest = longest_rollout(config, prompt_tokens)
    rows_R = torch.arange(config.rows_at_once)
    pieces = micro_batches(model, longest, rows_R, config)
    if len(pieces) == 1:
        return longest, pieces[0]
    size = _fullest(Ways(model), config, prompt_tokens, max(len(piece) for piece in pieces))
    return _rollout(config, size.prompt, size.completion), rows_R[: size.rows]


@dataclass(frozen=True)
class _Size:
    rows: int
    prompt: int
    completion: int


def _fullest(ways: Ways, config: GRPOConfig, prompt_tokens: int, longest_rows: int) -> _Size:
    """Of so many rows of the greatest lengths, and of other numbers of rows with completions or
    prompts so short that the budget holds them: what has the most tokens. Those of completions
    count twice, since they pass the head too."""
    P, T, budget = prompt_tokens, config.max_completion_length, config.micro_batch_tokens

    def tokens(size: _Size) -> int:
        return _equal(ways, config, size)

    found = [_Size(longest_rows, P, T)]
    unit = config.num_generations if ways.shares_prompts else 1
    for rows in range(unit, config.rows_at_once + 1, unit):
        completion = bisect_right(range(1, T + 1), budget, key=lambda t: tokens(_Size(rows, P, t)))
        prompt = bisect_right(range(1, P + 1), budget, key=lambda p: tokens(_Size(rows, p, T)))
        found += [_Size(rows, P, completion)] if completion > 0 else []
        found += [_Size(rows, prompt, T)] if prompt > 0 else []
        if not (completion or prompt):
            break
    return max(found, key=lambda size: tokens(size) + size.rows * size.completion)


def _equal(ways: Ways, config: GRPOConfig, size: _Size) -> int:
    """The tokens that go through the layers for rows of one length."""
    prompts, rows = [size.prompt] * config.prompts_per_step, range(size.rows)
    lengths = Lengths(prompts, [size.completion] * size.rows, config.num_generations)
    return ways.computed_tokens(lengths, rows)


def tokens_of_batch(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> int:
    """Tokens that one pass over all completions runs through the layers, prompts counted as often
    as they are computed."""
    return sum(tokens_of_passes(skeleton, config, prompt_tokens))


def tokens_of_passes(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> list[int]:
    """The same of each micro-batch of a longest rollout."""

    def count() -> list[int]:
        rollout, ways = longest_rollout(config, prompt_tokens), Ways(skeleton.model)
        lengths = rollout.lengths
        updates = torch.arange(config.completions_per_step).chunk(config.updates_per_rollout)
        return [
            ways.computed_tokens(lengths, piece.tolist())
            for rows_R in updates
            for piece in micro_batches(skeleton.model, rollout, rows_R, config)
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
