"""What each token of one completion contributed to the loss: the objective's own `PerToken`.

Importing this imports torch, which takes seconds: the token page does so when it is first opened.
The record is float32 and the trainer computed in float32; here the same formulas are taken in
float64, so that a value may differ from the trainer's in the seventh digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.config import LOSSES, METHODS
from workbench.objective import (
    BatchTotals,
    LossBatch,
    PerToken,
    entropy_threshold,
    policy_loss,
)
from workbench.widgets.tokens.inputs import Array, RowInputs, rows_of_update


@dataclass(frozen=True)
class Contribution:
    """(T,) arrays in float64, NaN = not known."""

    ratio_T: Array
    """The importance ratio; NaN in a row that is outside the loss."""
    clipped_T: Array
    """-1 where a token is clipped low, +1 where high, 0 elsewhere."""
    kl_T: Array
    """The KL in nats as beta multiplies it."""
    term_T: Array
    """What the reduction adds up; 0 where the row takes no part in the loss."""


def contribution(batch: Mapping[str, Any], row: int, x: RowInputs) -> Contribution:
    """Row `row` of what `Run.batch` gives, of which `x` is the inputs."""
    if not len(x.ids_T):
        nothing_T = np.zeros(0)
        return Contribution(nothing_T, nothing_T, nothing_T, nothing_T)
    tokens = _per_token(batch, row, x)
    ratio_T = _numbers(tokens.ratio)
    clipped_T = _numbers(tokens.clipped_high) - _numbers(tokens.clipped_low)
    unknown_T = np.full(len(x.ids_T), np.nan)
    kl_T = unknown_T if tokens.kl is None else _numbers(tokens.kl)
    if METHODS[x.config.method].of_pairs:
        # Nothing is clipped, and the loss is no sum over tokens.
        return Contribution(ratio_T, unknown_T, kl_T, unknown_T)
    # A row outside the loss has no ratio to clip, whatever its log-probabilities are.
    in_loss = 1.0 if x.counted else np.nan
    if not x.settings_known:
        return Contribution(ratio_T, unknown_T, kl_T, unknown_T)
    return Contribution(
        ratio_T=ratio_T * in_loss,
        clipped_T=np.where(np.isnan(ratio_T), np.nan, clipped_T) * in_loss,
        kl_T=kl_T * in_loss,
        # A skipped row was not computed in its update: its log-probabilities are NaN, its terms 0.
        term_T=np.zeros(len(x.ids_T)) if x.skipped else _numbers(tokens.term),
    )


def _per_token(batch: Mapping[str, Any], row: int, x: RowInputs) -> PerToken:
    """The objective's answer for this row alone; only the entropy threshold is that of its
    update."""
    # Of a record, as attributes: the loss asks for nothing else. An entropy bonus stands beside the
    # tokens' terms and is left out with them.
    config: Any = SimpleNamespace(**vars(x.config) | {"entropy_coef": 0.0})
    # What the config makes the loss need and the record does not have is NaN there, so that the
    # objective says of each token that its term is not known. What it does not need stays away.
    corrects_sampler = config.importance_sampling_mode is not None
    selects_entropy = config.top_entropy_quantile < 1
    selects_tokens = LOSSES[config.loss_type].selects
    threshold = _update_threshold(batch, row, x) if selects_entropy else None
    answer = policy_loss(
        _tensor(x.filled("logp")),
        _tensor(x.advantage_T),
        torch.full((1, len(x.ids_T)), x.counted),
        config,
        old_logp=_tensor(x.filled("old_logp")),
        ref_logp=_known_or_needed(x, "ref_logp", needed=config.beta > 0),
        entropy=_known_or_needed(x, "entropy", needed=selects_entropy),
        sampler_logp=_known_or_needed(x, "sampler_logp", needed=corrects_sampler),
        # Only the sum over the batch would ask for its true number.
        group_tokens=torch.ones(1),
        selected=_update_selection(batch, row, x) if selects_tokens else None,
        num_items=BatchTotals(sequences=1, tokens=1, entropy_threshold=threshold),
    )
    return answer.per_token


def _update_threshold(batch: Mapping[str, Any], row: int, x: RowInputs) -> Tensor | float:
    """The entropy from which on a token's policy term is kept: that of the row's update."""
    if "entropy_BT" not in batch:
        return float("nan")
    rows, counted_RT = _counted_in_update(batch, row, x)
    entropy_RT = torch.as_tensor(batch["entropy_BT"][rows]).double()
    return entropy_threshold(entropy_RT, counted_RT, x.config.top_entropy_quantile)


def _update_selection(batch: Mapping[str, Any], row: int, x: RowInputs) -> Tensor:
    """The tokens of this row that a loss with a selection chose over the row's update, (1, T)."""
    if "logp_BT" not in batch:
        # Nothing is known of the terms either.
        return torch.zeros(1, len(x.ids_T), dtype=torch.bool)
    rows, counted_RT = _counted_in_update(batch, row, x)

    def of(name: str) -> Tensor | None:
        return torch.as_tensor(batch[name][rows]) if name in batch else None

    logp_RT = torch.as_tensor(batch["logp_BT"][rows])
    advantages = torch.as_tensor(batch.get("advantage_BT", batch["advantages_B"])[rows])
    update = LossBatch(
        logp=logp_RT,
        advantages=advantages.to(logp_RT.dtype),
        mask=counted_RT,
        old_logp=of("old_logp_BT"),
        sampler_logp=of("sampler_logp_BT"),
    )
    place = row - rows.start
    # Of a record, as attributes: the choice asks for nothing else.
    config: Any = x.config
    return update.select(config)[place : place + 1, : len(x.ids_T)]


def _counted_in_update(batch: Mapping[str, Any], row: int, x: RowInputs) -> tuple[slice, Tensor]:
    """The rows that were in one update with `row`, and which of their tokens the loss counted."""
    rows = rows_of_update(row, len(batch["lengths_B"]), x.config)
    counted_RT = batch["mask_BT"][rows]
    if x.config.mask_truncated_completions:
        counted_RT = counted_RT & ~batch["truncated_B"][rows, None]
    return rows, torch.as_tensor(counted_RT)


def _known_or_needed(x: RowInputs, name: str, needed: bool) -> Tensor | None:
    known = getattr(x, f"{name}_T") is not None
    return _tensor(x.filled(name)) if known or needed else None


def _tensor(values_T: Array) -> Tensor:
    """One row, (1, T), in float64."""
    return torch.as_tensor(np.ascontiguousarray(values_T, np.float64))[None]


def _numbers(values_1T: Tensor) -> Array:
    return values_1T[0].double().numpy()
