"""Per-token log-probabilities of sampled completions under the current weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.policy.packing import can_pack, pack, packed_logits
from workbench.rollout.types import Rollout


def completion_logps(model: Any, rollout: Rollout, rows: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """`(logp_RT, entropy_RT)` of the R completions in `rows`, in nats, with gradient.

    Logits are divided by the sampling `temperature` first, so that the ratio to the sampler is 1 before an update. T is
    the rollout's width; what stands on padding is 0. Completions of one prompt share its computing where the model
    allows it (see `packing`); otherwise each has a row of its own.
    """
    if can_pack(model, rollout, rows):
        packed = pack(rollout, rows)
        logits_KV, row_K, token_K = packed_logits(model, packed), packed.row_K, packed.token_K
    else:
        logits_KV, row_K, token_K = _row_logits(model, rollout, rows)
    logits_KV = (logits_KV if logits_KV.dtype == torch.float64 else logits_KV.float()) / temperature
    logp_KV = logits_KV.log_softmax(-1)
    entropy_K = -(logp_KV.exp() * logp_KV).sum(-1)
    logp_K = logp_KV.gather(-1, rollout.completion_ids_BT[rows[row_K], token_K, None]).squeeze(-1)
    shape, at = (len(rows), rollout.mask_BT.shape[1]), (row_K, token_K)
    return logp_K.new_zeros(shape).index_put(at, logp_K), entropy_K.new_zeros(shape).index_put(at, entropy_K)


def _row_logits(model: Any, rollout: Rollout, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(K,V) logits that predict each completion token, its completion and its place: one row a completion."""
    prompts = rows // rollout.num_generations
    prompt_mask = rollout.prompt_mask_NP[prompts]
    width = max(int(rollout.lengths_B[rows].max()), 1)
    start = rollout.prompt_mask_NP.shape[1] - int(prompt_mask.sum(1).max())  # columns of padding alone
    mask_RT = rollout.mask_BT[rows, :width]
    ids = torch.cat([rollout.prompt_ids_NP[prompts, start:], rollout.completion_ids_BT[rows, :width]], 1)
    attention = torch.cat([prompt_mask[:, start:], mask_RT], 1).long()
    logits_RTV = model(
        input_ids=ids, attention_mask=attention, position_ids=(attention.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=width + 1, use_cache=False).logits[:, :-1]
    row_K, token_K = mask_RT.nonzero(as_tuple=True)
    return logits_RTV[row_K, token_K], row_K, token_K
