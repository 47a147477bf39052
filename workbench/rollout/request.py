"""What every engine does around its loop: check the request, pad the prompts, read off the
masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.rollout.types import Rollout, Sampling


class RolloutNotFiniteError(WorkbenchError, FloatingPointError):
    """A sampled token's log-probability is NaN or infinite; nothing of the rollout is kept."""


class RolloutCancelledError(WorkbenchError):
    """`should_stop` answered True in the middle of a rollout; nothing of it is kept."""


def raise_if_stopped(should_stop: Callable[[], bool] | None) -> None:
    """Raise `RolloutCancelledError` when `should_stop` is given and answers True."""
    if should_stop is not None and should_stop():
        raise RolloutCancelledError("the rollout was cancelled between two tokens")


def check_special_ids(model: Any, eos_token_ids: Sequence[int], pad_token_id: int) -> None:
    """Raise ValueError unless the end and padding ids are token ids of the model. No end id at all
    is allowed."""
    vocab_size = model.config.get_text_config(decoder=True).vocab_size
    for name, ids in (("eos_token_ids", list(eos_token_ids)), ("pad_token_id", [pad_token_id])):
        bad = [i for i in ids if not isinstance(i, int) or not 0 <= i < vocab_size]
        if bad:
            raise ValueError(
                f"{name} holds {bad[0]!r}, which is no token id: the vocabulary is 0 to "
                f"{vocab_size - 1}. "
                "Pass the ids of the policy's own tokenizer."
            )


def check_request(
    model: Any, prompts: list[list[int]], num_generations: int, sampling: Sampling
) -> None:
    """Raise ValueError for a request that no engine can serve, naming the value and the remedy."""
    if num_generations < 1:
        raise ValueError(
            f"num_generations={num_generations}: at least 1 completion for each prompt is needed."
        )
    if not prompts:
        raise ValueError("prompts is empty: give at least one prompt.")
    _check_sampling(sampling)
    config = model.config.get_text_config(decoder=True)
    vocab_size, limit = config.vocab_size, getattr(config, "max_position_embeddings", None)
    for index, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise ValueError(
                f"prompt {index} is empty: a prompt needs at least one token (for example the "
                "BOS token)."
            )
        if not 0 <= min(prompt) <= max(prompt) < vocab_size:
            bad = next(i for i in prompt if not 0 <= i < vocab_size)
            raise ValueError(
                f"prompt {index} holds token id {bad}, outside the vocabulary of {vocab_size}. "
                "Encode prompts with the policy's own tokenizer."
            )
        if limit is not None and len(prompt) + sampling.max_completion_length > limit:
            raise ValueError(
                f"prompt {index} has {len(prompt)} tokens, with "
                f"max_completion_length={sampling.max_completion_length} "
                f"that is beyond the model's {limit} positions. Lower max_completion_length or "
                "leave the prompt out."
            )


def _check_sampling(sampling: Sampling) -> None:
    rules = [
        ("max_completion_length", sampling.max_completion_length >= 1, "at least 1"),
        ("temperature", 0 <= sampling.temperature < math.inf, "0 (greedy) or a positive number"),
        ("top_k", sampling.top_k >= 0, "0 (all tokens) or more"),
        ("top_p", 0 < sampling.top_p <= 1, "above 0 and at most 1"),
    ]
    for name, good, meaning in rules:
        if not good:
            raise ValueError(f"{name}={getattr(sampling, name)!r}: must be {meaning}.")


def left_pad(
    prompts: Sequence[Sequence[int]], pad_token_id: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Token ids padded on the left to the longest prompt, and the mask (False on padding), both (N,
    P)."""
    width = max(map(len, prompts))
    ids_NP = torch.tensor([[pad_token_id] * (width - len(p)) + list(p) for p in prompts])
    lengths_N = torch.tensor([len(p) for p in prompts])
    mask_NP = torch.arange(width) >= width - lengths_N[:, None]
    return ids_NP.to(device), mask_NP.to(device)


def is_end(ids: Tensor, eos_token_ids: Tensor) -> Tensor:
    """True where `ids` (any shape) is one of the end tokens (E,)."""
    return (ids[..., None] == eos_token_ids).any(-1)


def make_rollout(
    prompt_ids_NP: Tensor,
    prompt_mask_NP: Tensor,
    ids_BT: Tensor,
    logp_BT: Tensor,
    eos_token_ids: Tensor,
    pad_token_id: int,
    num_generations: int,
    weight_dtype: torch.dtype | None = None,
) -> Rollout:
    """A `Rollout` from sampled tokens: all after the first end token of a row becomes padding.

    `weight_dtype` is the number format of the policy's weights, for the advice. Raises
    `RolloutNotFiniteError` (a FloatingPointError) where a sampled token's log-probability is not
    finite.
    """
    end_BT = is_end(ids_BT, eos_token_ids)
    mask_BT = (end_BT.cumsum(1) - end_BT.long()) == 0
    width = int(mask_BT.sum(1).max())
    ids_BT, logp_BT, mask_BT = ids_BT[:, :width], logp_BT[:, :width], mask_BT[:, :width]
    _check_finite(logp_BT, mask_BT, num_generations, weight_dtype)
    return Rollout(
        prompt_ids_NP=prompt_ids_NP,
        prompt_mask_NP=prompt_mask_NP,
        completion_ids_BT=ids_BT.masked_fill(~mask_BT, pad_token_id),
        mask_BT=mask_BT,
        sampler_logp_BT=logp_BT.masked_fill(~mask_BT, 0.0),
        truncated_B=~end_BT.any(1),
        num_generations=num_generations,
    )


def _check_finite(
    logp_BT: Tensor, mask_BT: Tensor, num_generations: int, weight_dtype: torch.dtype | None
) -> None:
    bad = (mask_BT & ~logp_BT.isfinite()).nonzero()
    if len(bad):
        row, token = bad[0].tolist()
        where = (
            f"token {token} of completion {row % num_generations} of prompt "
            f"{row // num_generations}"
        )
        raise RolloutNotFiniteError(
            f"the policy gave log-probability {logp_BT[row, token].item()} for {where} "
            f"({len(bad)} such tokens). Its "
            f"weights or logits are not finite. {_remedy(weight_dtype)}"
        )


def _remedy(weight_dtype: torch.dtype | None) -> str:
    if weight_dtype == torch.float16:
        return (
            "The weights are float16, which ends at 65504, and some models go beyond: load them "
            "with dtype='float32', or use a GPU that "
            "computes in bfloat16 (dtype='bfloat16'; a T4 does not). If it was well until now, "
            "go back to a checkpoint and lower learning_rate."
        )
    return (
        "Before the first step: the policy's own weights are damaged, load them anew. Later: "
        "go back to a checkpoint and lower learning_rate."
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Without dropout: every module in evaluation mode, and after it each one as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
