"""Per-token log-probabilities of sampled completions under the current weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.rollout.types import Rollout


def completion_logps(model: Any, rollout: Rollout, rows: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """`(logp_RT, entropy_RT)` of the R completions in `rows`, in nats, with gradient.

    Logits are divided by the sampling `temperature` first, so that the ratio to the sampler is 1 before an update. T is
    the rollout's width; what stands on padding is 0. Only the positions that predict a completion token pass the head.
    """
    ids_RL, attention_RL, width = _rows_with_prompts(rollout, rows)
    positions_RL = (attention_RL.cumsum(1) - 1).clamp(min=0)
    logits_RTV = model(
        input_ids=ids_RL, attention_mask=attention_RL, position_ids=positions_RL, logits_to_keep=width + 1, use_cache=False
    ).logits[:, :-1]
    logits_RTV = logits_RTV.float() / temperature if logits_RTV.dtype != torch.float64 else logits_RTV / temperature
    logp_RTV = logits_RTV.log_softmax(-1)
    entropy_RT = -(logp_RTV.exp() * logp_RTV).sum(-1)
    logp_RT = logp_RTV.gather(-1, ids_RL[:, -width:, None]).squeeze(-1)
    mask_RT = rollout.mask_BT[rows, :width]
    unused = rollout.mask_BT.shape[1] - width
    return _widen(logp_RT, mask_RT, unused), _widen(entropy_RT, mask_RT, unused)


def _rows_with_prompts(rollout: Rollout, rows: Tensor) -> tuple[Tensor, Tensor, int]:
    """Ids and attention mask of [prompt, completion], cut to the longest prompt and completion among `rows`."""
    prompts = rows // rollout.num_generations
    prompt_mask = rollout.prompt_mask_NP[prompts]
    width = max(int(rollout.lengths_B[rows].max()), 1)
    start = rollout.prompt_mask_NP.shape[1] - int(prompt_mask.sum(1).max())
    ids = torch.cat([rollout.prompt_ids_NP[prompts, start:], rollout.completion_ids_BT[rows, :width]], 1)
    attention = torch.cat([prompt_mask[:, start:], rollout.mask_BT[rows, :width]], 1)
    return ids, attention.long(), width


def _widen(values_RT: Tensor, mask_RT: Tensor, unused: int) -> Tensor:
    """Zero the padding and bring back the columns that were cut."""
    return torch.nn.functional.pad(torch.where(mask_RT, values_RT, 0.0), (0, unused))
