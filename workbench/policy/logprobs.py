"""Per-token log-probabilities of sampled completions under the current weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy import head
from workbench.policy.packing import can_pack, pack, packed_inputs
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
    prompt share its computing where the model allows it (see `packing`); otherwise each has a row
    of its own. Logits of many tokens are made a block at a time (see `head`).
    """
    run = run_of(model, rollout, rows)
    targets_K = rollout.completion_ids_BT[rows[run.row_K], run.token_K]
    if head.worth_it(model, len(targets_K)):
        hidden_NCH, own = head.before_head(model, run.inputs)
        hidden_KH = hidden_NCH[run.place]
        logp_K, entropy_K = head.blockwise_logps(
            hidden_KH, own, targets_K, temperature, entropy_gradient
        )
    else:
        logits_KV = model(**run.inputs).logits[run.place]
        logp_K, entropy_K = _logps(logits_KV, targets_K, temperature, entropy_gradient)
    shape, at = (len(rows), rollout.mask_BT.shape[1]), (run.row_K, run.token_K)
    return logp_K.new_zeros(shape).index_put(at, logp_K), entropy_K.new_zeros(shape).index_put(
        at, entropy_K
    )


def logps_in_parts(model: Any, rollout: Rollout, config: GRPOConfig) -> Tensor:
    """(B, T) log-probabilities of all completions, no more rows at once than in an update, whose
    micro-batches fit into memory."""
    rows = torch.arange(len(rollout.mask_BT), device=rollout.mask_BT.device)
    logps = []
    for part in torch.split(rows, config.rows_at_once):
        logp_RT, _ = completion_logps(model, rollout, part, config.temperature)
        logps.append(logp_RT)
    return torch.cat(logps)


def completion_hidden_states(
    model: Any, rollout: Rollout, rows: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(K, H) the last hidden state before each of the K completion tokens of `rows`, and where
    each stands, (row, token); with gradient."""
    run = run_of(model, rollout, rows)
    hidden_NCH, _ = head.before_head(model, run.inputs)
    return hidden_NCH[run.place], (run.row_K, run.token_K)


def run_of(model: Any, rollout: Rollout, rows: Tensor) -> _Run:
    """What to give the model for these completions, and where its answers stand."""
    if can_pack(model, rollout, rows):
        return _packed(model, rollout, rows)
    return _row_by_row(rollout, rows)


def _logps(
    logits_KV: Tensor, targets_K: Tensor, temperature: float, entropy_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    logits_KV = (logits_KV if logits_KV.dtype == torch.float64 else logits_KV.float()) / temperature
    logp_KV = logits_KV.log_softmax(-1)
    known_KV = logp_KV if entropy_gradient else logp_KV.detach()
    return logp_KV.gather(-1, targets_K[:, None]).squeeze(-1), -(known_KV.exp() * known_KV).sum(-1)


@dataclass(frozen=True)
class _Run:
    """inputs: of the model. place: where in what it gives (N,C,...) stands what predicts the K-th
    completion token, which is number token_K of completion row_K."""

    inputs: dict[str, Any]
    place: tuple[Tensor, Tensor]
    row_K: Tensor
    token_K: Tensor


def _packed(model: Any, rollout: Rollout, rows: Tensor) -> _Run:
    packed = pack(rollout, rows)
    return _Run(
        packed_inputs(model, packed),
        (packed.packed_K, packed.column_K - packed.first_column),
        packed.row_K,
        packed.token_K,
    )


def _row_by_row(rollout: Rollout, rows: Tensor) -> _Run:
    """One row a completion."""
    prompts = rows // rollout.num_generations
    prompt_mask = rollout.prompt_mask_NP[prompts]
    width = max(int(rollout.lengths_B[rows].max()), 1)
    start = rollout.prompt_mask_NP.shape[1] - int(
        prompt_mask.sum(1).max()
    )  # columns of padding alone
    mask_RT = rollout.mask_BT[rows, :width]
    ids = torch.cat(
        [rollout.prompt_ids_NP[prompts, start:], rollout.completion_ids_BT[rows, :width]], 1
    )
    attention = torch.cat([prompt_mask[:, start:], mask_RT], 1).long()
    inputs = dict(
        input_ids=ids,
        attention_mask=attention,
        position_ids=(attention.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=width + 1,
        use_cache=False,
    )
    row_K, token_K = mask_RT.nonzero(as_tuple=True)
    return _Run(inputs, (row_K, token_K), row_K, token_K)
