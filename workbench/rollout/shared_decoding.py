"""Decoding with one copy of a prompt's keys and values for all its completions; the plain decoder
beside it (`decoding`) gives each row its own."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from workbench.config.engines import EngineFacts
from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import (
    AttentionFor,
    attention_of,
    takes_own_mask,
)
from workbench.rollout.decoding import Decoder
from workbench.rollout.shared_prompt import SharedPromptCache, shared_attention

ATTENTION = "workbench_shared_prompt"
TOLERANCE = 1e-4
"""How far logits of both decoders may lie apart, in parts of the largest: rounding of float32 stays
ten times below, an attention that is not the plain one goes beyond."""


class SharedPromptDecoder(Decoder):
    """As `Decoder`; `expand_rows` once only, after `prefill`."""

    def __init__(
        self, model: Any, prompt_ids_NP: Tensor, prompt_mask_NP: Tensor, max_steps: int
    ) -> None:
        super().__init__(model, prompt_ids_NP, prompt_mask_NP, max_steps)
        self.max_steps = max_steps
        self._attention = AttentionFor(model, ATTENTION, shared_attention)

    def expand_rows(self, rows_R: Tensor) -> None:
        """From the N prompts to R rows, row i continuing prompt `rows_R[i]`."""
        self.cache = SharedPromptCache(self.cache, rows_R, self.mask, self.max_steps)
        self.position_ids_RT = self.position_ids_RT[rows_R]
        # The cache knows what is hidden. A mask of four dimensions is what keeps transformers from
        # making one of its own.
        self.mask = torch.ones(len(rows_R), 1, 1, 1, dtype=torch.bool, device=rows_R.device)

    def step(self, ids_R: Tensor) -> Tensor:
        """Append one token to every row; the logits after it, (R, V)."""
        with self._attention:
            return super().step(ids_R)


def reason_against_sharing(model: Any) -> str | None:
    """Why the completions of a prompt cannot share its keys and values while they are sampled, as a
    clause, or None; of a model that `unsupported_reason` lets pass. A model is tried once, with a
    few tokens of both decoders."""
    weight = model.get_input_embeddings().weight
    reason = reason_by_kind(model, weight.device.type, weight.dtype)
    if reason is not None:
        return reason
    if "_workbench_shares_decoding" not in model.__dict__:
        model.__dict__["_workbench_shares_decoding"] = _probe(model)
    found: str | None = model.__dict__["_workbench_shares_decoding"]
    if found is not None:
        warnings.warn(
            "each completion is sampled with its own copy of its prompt's keys and values, slower "
            f"than sharing them: {found}.",
            stacklevel=3,
        )
    return found


def are_several(rows: int, prompts: int) -> bool:
    """Whether so many rows continue each prompt that sharing its keys and values pays."""
    return rows >= 2 * prompts


def keeps_prompts_once(
    facts: EngineFacts, model: Any, device: str, dtype: torch.dtype, rows: int, prompts: int
) -> bool:
    """Whether such an engine holds a prompt's keys and values once for all its completions; for
    whoever reckons with its memory before it samples. `model` may stand under a PEFT wrapper."""
    if not facts.shares_cache or not are_several(rows, prompts):
        return False
    return reason_by_kind(plain_model(model), device, dtype) is None


def reason_by_kind(model: Any, device: str, dtype: torch.dtype) -> str | None:
    """The same by what is known without a pass through the model, on a device of that kind with
    weights of that format."""
    if device != "cpu":
        return "on a GPU it has not been measured"
    if dtype not in (torch.float32, torch.float64):
        return f"its products are {dtype}, whose scores would be rounded before the softmax"
    if attention_of(model) != "sdpa" or not takes_own_mask(model):
        return f"its attention is {attention_of(model)!r} with a mask of its own making"
    return None


@torch.no_grad()
def _probe(model: Any) -> str | None:
    """Both decoders on two prompts, one of them padded, for three tokens: of three rows, one of
    which leaves after the first."""
    try:
        plain, shared = (_logits(make, model) for make in (Decoder, SharedPromptDecoder))
    except (TypeError, RuntimeError) as error:
        return str(error).rstrip(".")
    far = float((plain - shared).abs().max() / plain.abs().max())
    if far > TOLERANCE:
        return f"its attention is not the plain one: logits are off by {far:.1e} of the largest"
    return None


def _logits(make: type[Decoder], model: Any) -> Tensor:
    ids_NP = torch.tensor([[0, 1], [1, 0]], device=model.get_input_embeddings().weight.device)
    mask_NP = torch.tensor([[False, True], [True, True]], device=ids_NP.device)
    rows_R = torch.tensor([0, 0, 1], device=ids_NP.device)
    decoder = make(model, ids_NP, mask_NP, 3)
    decoder.prefill()
    decoder.expand_rows(rows_R)
    first = decoder.step(rows_R)
    decoder.keep_rows(torch.tensor([1, 2], device=ids_NP.device))
    second = decoder.step(rows_R[:2])
    third = decoder.step(rows_R[1:])
    return torch.cat([first, second, third])
