"""Rollouts of ragged lengths and models in float64, for tests that hold two ways of computing the
same against each other."""

from __future__ import annotations

from typing import Any

import torch

from workbench.rollout.types import Rollout

WORDS = 50
SIZE = dict(
    vocab_size=WORDS,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
)


def in_double(model: Any) -> Any:
    """The model in float64, its norms too, which transformers computes in float32."""
    for norm in (m for m in model.modules() if hasattr(m, "variance_epsilon")):
        norm.forward = lambda x, norm=norm: (
            norm.weight * x * (x.square().mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt()
        )
    return model.double()


def rollout_of(prompts: list[int], lengths: list[int]) -> Rollout:
    """Prompts and completions of these lengths, as many of each prompt."""
    g = torch.Generator().manual_seed(sum(prompts) + sum(lengths))
    prompt_mask = torch.arange(max(prompts)) >= max(prompts) - torch.tensor(prompts)[:, None]
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Rollout(
        torch.randint(1, WORDS, prompt_mask.shape, generator=g),
        prompt_mask,
        torch.where(mask, torch.randint(1, WORDS, mask.shape, generator=g), 0),
        mask,
        torch.zeros(mask.shape),
        torch.zeros(len(mask), dtype=torch.bool),
        len(lengths) // len(prompts),
    )
