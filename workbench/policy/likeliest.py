"""The likeliest next tokens at each place of sampled completions, on demand.

They are not in the record of every step: three of them would be 24 bytes beside the 28 that a token
has there, and choosing them among 152,000 words takes 40 % of the time of the log-softmax (CPU).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.policy import head
from workbench.policy.ways import pass_of
from workbench.rollout.types import Rollout


@torch.no_grad()
def likeliest_tokens(
    model: Any, rollout: Rollout, rows: Tensor, temperature: float, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`(logp_K, ids_KA, logp_KA)` for the K tokens of the completions in `rows`, one after another:
    the log-probability of each, and the `count` likeliest tokens at its place with theirs, in nats
    at `temperature`."""
    given = pass_of(model, rollout, rows)
    targets_K = rollout.completion_ids_BT[rows[given.row_K], given.token_K]
    if head.worth_it(model, len(targets_K)):
        hidden_KH, own = given.before_head(model)
        blocks = head.logits_in_blocks(hidden_KH, own, temperature)
    else:
        logits_KV = given.logits(model)
        wide = logits_KV if logits_KV.dtype == torch.float64 else logits_KV.float()
        blocks = iter([(slice(None), wide / temperature)])
    parts = []
    for at, logits_RV in blocks:
        logp_RV = logits_RV.log_softmax(-1)
        own_R = logp_RV.gather(-1, targets_K[at, None]).squeeze(-1)
        best_RA = logp_RV.topk(min(count, logp_RV.shape[-1]), -1)
        parts.append((own_R, best_RA.indices, best_RA.values))
    # By the place of each token in its completion: the model was asked in an order of its own.
    order_K = torch.argsort(given.row_K * rollout.mask_BT.shape[1] + given.token_K)
    logp_K, ids_KA, logp_KA = (torch.cat(part)[order_K] for part in zip(*parts, strict=True))
    return logp_K, ids_KA, logp_KA
