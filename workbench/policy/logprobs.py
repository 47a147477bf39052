"""Per-token log-probabilities of sampled completions under the current weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy import head
from workbench.policy.pieces import micro_batches, pieces_of, put_back
from workbench.policy.ways import pass_of
from workbench.rollout.types import Rollout


def completion_logps(
    model: Any,
    rollout: Rollout,
    rows: Tensor,
    temperature: float,
    *,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """`(logp_RT, entropy_RT)` of the R completions in `rows`, in nats; the first with gradient, the
    second where `entropy_gradient` asks for it (an entropy bonus; else it would cost memory for
    nothing).

    Logits are divided by the sampling `temperature` first, so that the ratio to the sampler is 1
    before an update. T is the rollout's width; what stands on padding is 0. Completions of one
    prompt share its computing where the model allows it (see `passes`); otherwise each has a row
    of its own. Logits of many tokens are made a block at a time (see `head`).
    """
    given = pass_of(model, rollout, rows)
    targets_K = rollout.completion_ids_BT[rows[given.row_K], given.token_K]
    if head.worth_it(model, len(targets_K)):
        hidden_KH, own = given.before_head(model)
        logp_K, entropy_K = head.blockwise_logps(
            hidden_KH, own, targets_K, temperature, entropy_gradient
        )
    else:
        logits_KV = given.logits(model)
        logp_K, entropy_K = _logps(logits_KV, targets_K, temperature, entropy_gradient)
    shape, at = (len(rows), rollout.mask_BT.shape[1]), (given.row_K, given.token_K)
    return logp_K.new_zeros(shape).index_put(at, logp_K), entropy_K.new_zeros(shape).index_put(
        at, entropy_K
    )


def logps_in_parts(
    model: Any, rollout: Rollout, config: GRPOConfig, rows_R: Tensor | None = None
) -> Tensor:
    """(R, T) log-probabilities of the completions in `rows_R`, of all where none are named: no more
    at once than in an update, whose micro-batches fit into memory."""
    if rows_R is None:
        rows_R = torch.arange(len(rollout.mask_BT), device=rollout.mask_BT.device)
    pieces = pieces_of(model, rollout, config, rows_R)
    logps = [completion_logps(model, rollout, part, config.temperature)[0] for part in pieces]
    return put_back(rows_R, pieces, logps)


@torch.no_grad()
def logps_and_entropies(
    model: Any, rollout: Rollout, config: GRPOConfig, rows_R: Tensor
) -> tuple[Tensor, Tensor]:
    """(R, T) both of an update's completions, without gradient, a micro-batch at a time."""
    parts = micro_batches(model, rollout, rows_R, config)
    found = [completion_logps(model, rollout, part, config.temperature) for part in parts]
    logp_RT, entropy_RT = (put_back(rows_R, parts, v) for v in zip(*found, strict=True))
    return logp_RT, entropy_RT


def completion_hidden_states(
    model: Any, rollout: Rollout, rows: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(K, H) the last hidden state before each of the K completion tokens of `rows`, and where
    each stands, (row, token); with gradient."""
    given = pass_of(model, rollout, rows)
    hidden_KH, _ = given.before_head(model)
    return hidden_KH, (given.row_K, given.token_K)


def _logps(
    logits_KV: Tensor, targets_K: Tensor, temperature: float, entropy_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    logits_KV = (logits_KV if logits_KV.dtype == torch.float64 else logits_KV.float()) / temperature
    logp_KV = logits_KV.log_softmax(-1)
    known_KV = logp_KV if entropy_gradient else logp_KV.detach()
    return logp_KV.gather(-1, targets_K[:, None]).squeeze(-1), -(known_KV.exp() * known_KV).sum(-1)
