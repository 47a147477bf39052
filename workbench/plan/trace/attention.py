"""Attention on the meta device as the fused kernels do it, so that no T x T matrix of weights is
counted that none makes.

torch chooses a kernel by device, and for the meta device that is the plain formula. Registered with
transformers under a name of its own, this one allocates what torch's fused kernels do: the repeated
heads, the mask in the weights' format (every layer makes its own and keeps it for the backward),
the output and its log-sum-exp.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.libraries.hf_peft import plain_model
from workbench.libraries.hf_transformers import attention_of, use_attention
from workbench.libraries.torch_ import fused_attention

NAME = "workbench_plan"


def use_fused_attention(model: Any) -> None:
    """Let the layers of `model` compute attention so, where it would have gone through torch's own
    call (sdpa)."""
    plain = plain_model(model)
    if attention_of(plain) == "sdpa":
        use_attention(plain, NAME, fused)


def fused(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: (batch, heads, tokens, size) in, (batch, tokens, heads,
    size) out."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = _repeated(key, groups), _repeated(value, groups)
    # Under autocast the products before give the values in bfloat16, while the rotary embedding has
    # widened queries and keys to float32: torch's call casts them back.
    if query.dtype != value.dtype:
        query = query.to(value.dtype)
        key = key.to(value.dtype)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        attention_mask = torch.zeros_like(attention_mask, dtype=query.dtype).masked_fill_(
            ~attention_mask, float("-inf")
        )
    causal = attention_mask is None and query.shape[2] > 1
    out = fused_attention(query, key, value, attention_mask, causal, scaling)
    return out.transpose(1, 2).contiguous(), None


def _repeated(heads: Tensor, groups: int) -> Tensor:
    batch, count, tokens, size = heads.shape
    return (
        heads[:, :, None]
        .expand(batch, count, groups, tokens, size)
        .reshape(batch, count * groups, tokens, size)
    )
