"""Whether a model's attention can be taken apart (see `cascade`), and when that pays."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import attention_of
from workbench.policy import packing
from workbench.policy.head import device_kind
from workbench.policy.passes import in_one_row, row_by_row
from workbench.rollout.types import Rollout

MASK_UP_TO = 192
"""Tokens of a packed row up to which it keeps its mask: one attention with a mask is quicker than
two without by 25 % at 62 tokens, as quick at 200, and 10 to 20 % slower from 300 on."""
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4}
"""How far the logits of both passes may lie apart, in parts of the largest: rounding stays ten
times below, an attention that is not the plain one goes beyond."""
COARSE = 0.1
"""The same in the 16-bit formats."""


def reason_against(model: Any) -> str | None:
    """Why this model's attention cannot be taken apart, as a clause, or None. A model is tried
    once, with a few tokens; where that fails, a warning says so."""
    reason = packing.reason_against(model) or _reason_by_kind(model)
    if reason is not None or _weight(model).device.type == "meta":
        return reason
    known = plain_model(model).__dict__
    if "_workbench_apart" not in known:
        known["_workbench_apart"] = _probe(model)
        if known["_workbench_apart"] is not None:
            warnings.warn(
                "log-probabilities are computed with a mask for each packed row, slower than "
                f"without: {known['_workbench_apart']}.",
                stacklevel=3,
            )
    found: str | None = known["_workbench_apart"]
    return found


def _weight(model: Any) -> Tensor:
    weight: Tensor = model.get_input_embeddings().weight
    return weight


def _reason_by_kind(model: Any) -> str | None:
    if device_kind(model) != "cpu":
        return "on a GPU it has not been measured"
    if attention_of(plain_model(model)) != "sdpa":
        return "its attention is not the fused one"
    return None


@torch.no_grad()
def _probe(model: Any) -> str | None:
    """Two prompts, one of them padded, with four completions of one token or two; all tokens
    different, or it would not matter who sees whom."""
    weight = _weight(model)
    ids_62 = torch.arange(12, device=weight.device).view(6, 2) % len(weight)
    mask_BT = torch.tensor([[1, 0], [1, 1], [1, 0], [1, 1]], dtype=torch.bool, device=weight.device)
    prompt_mask_NP = torch.tensor([[False, True], [True, True]], device=weight.device)
    rollout = Rollout(
        prompt_ids_NP=ids_62[:2],
        prompt_mask_NP=prompt_mask_NP,
        completion_ids_BT=ids_62[2:],
        mask_BT=mask_BT,
        sampler_logp_BT=torch.zeros_like(mask_BT, dtype=torch.float32),
        truncated_B=~mask_BT[:, 0],
        num_generations=2,
    )
    rows = torch.arange(len(mask_BT), device=weight.device)
    try:
        plain = row_by_row(rollout, rows).logits(model)
        apart = in_one_row(model, rollout, rows).logits(model)
    except (TypeError, RuntimeError) as error:
        return str(error).rstrip(".")
    if not plain.isfinite().all():
        return None  # damaged weights say nothing of the attention; the first rollout tells of them
    far = float((plain.float() - apart.float()).abs().max() / plain.float().abs().max())
    # Under autocast the weights are finer than what is computed.
    if not far <= TOLERANCE.get(plain.dtype, COARSE):
        return f"its attention is not the plain one: logits are off by {far:.1e} of the largest"
    return None
