"""What a step would have been under other settings: from its kept batch alone, without a model.

A step is put together again as the trainer made it: the same rows for each update, the same totals
to divide by, the rows that the trainer skipped left out. Under the settings that were in force the
loss is therefore the recorded one (with num_iterations > 1: that of the last pass, whose
log-probabilities are the ones that were kept).

The gradient is that of the loss with respect to the log-probability of each sampled token, by
autograd. What the model makes of it, and what later steps would have looked like, cannot be known
from a batch.

Suffixes: B completions, T tokens, K reward functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.config.losses import reduction_of
from workbench.objective import (
    REDUCTIONS,
    BatchTotals,
    LossBatch,
    kl_per_token,
    totals_of,
    update_metrics,
    updates_of,
)
from workbench.objective.inputs import clean_inputs
from workbench.objective.ratios import importance_ratio
from workbench.objective.reductions import Terms
from workbench.widgets.what_if.kept_batch import SAME_ADVANTAGE, KeptBatch, WhatIfError

SAME_PUSH = 1e-6
"""Gradients that differ by a smaller share of the largest one are the same: rounding."""


@dataclass(frozen=True)
class Outcome:
    """A step under one config.

    advantages_B   float64, of each completion (with one per token their mean)
    loss           mean over the updates, as the record has it
    metrics        as the record has them: each the mean over the updates
    clipped_BT     int8: -1 clipped below, 1 above, 0 neither
    gradient_BT    float32, d loss of the token's own update / d its log-probability; 0 where
                   nothing is counted
    kl_gradient_BT what of it comes from beta x KL
    ratio_BT       float32, the importance ratio; 0 where nothing is counted
    """

    config: GRPOConfig
    advantages_B: np.ndarray
    loss: float
    metrics: dict[str, float]
    clipped_BT: np.ndarray
    gradient_BT: np.ndarray
    kl_gradient_BT: np.ndarray
    ratio_BT: np.ndarray

    @property
    def gradient_norm(self) -> float:
        """The length of the gradient over all tokens."""
        return float(np.linalg.norm(self.gradient_BT.astype(np.float64)))


def outcome(kept: KeptBatch, config: GRPOConfig) -> Outcome:
    """The step under `config`. Raises `WhatIfError` or ValueError where the kept batch lacks what
    it asks for."""
    _check_reference_kept(kept, config)
    logp_BT = kept.batch.logp.clone().requires_grad_()
    batch = replace(batch_under(kept, config), logp=logp_BT)
    again = _step_again(kept, batch, config)
    metrics = update_metrics(again.updates)
    (gradient_BT,) = torch.autograd.grad(again.loss, logp_BT, retain_graph=True)
    (kl_gradient_BT,) = torch.autograd.grad(again.kl_loss, logp_BT)
    return Outcome(
        config=config,
        advantages_B=_per_completion(kept.advantages(config), kept),
        loss=metrics.pop("loss"),
        metrics=metrics,
        clipped_BT=again.clipped_BT.numpy(),
        gradient_BT=gradient_BT.numpy(),
        kl_gradient_BT=kl_gradient_BT.numpy(),
        ratio_BT=again.ratio_BT.numpy(),
    )


def _check_reference_kept(kept: KeptBatch, config: GRPOConfig) -> None:
    """Raises `WhatIfError` where a KL term is asked for that cannot be computed."""
    if config.beta > 0 and kept.batch.ref_logp is None:
        raise WhatIfError(
            f"beta={config.beta:g} needs the log-probabilities of the reference, and this step has "
            "none: with beta=0 they are computed only where measure_kl asks for them. Set beta=0."
        )


def updates_again(kept: KeptBatch, config: GRPOConfig) -> Iterator[tuple[Tensor, BatchTotals]]:
    """The updates of the step's last pass: the rows whose log-probabilities are known, and what
    their loss is divided by."""
    for rows in updates_of(config, torch.device("cpu"))[-config.updates_per_rollout :]:
        # Of all the update's rows: those that the trainer skipped are counted.
        totals = totals_of(kept.batch.mask, rows, config)
        yield rows[kept.counted_BT[rows].any(1)], totals


def batch_under(kept: KeptBatch, config: GRPOConfig) -> LossBatch:
    """The tokens that are compared, with their advantages under `config`."""
    advantages = kept.advantages(config)
    return replace(
        kept.batch,
        advantages=advantages.to(kept.batch.logp.dtype),
        mask=kept.counted_BT,
    )


@dataclass
class _Again:
    """The updates of a step, made again."""

    loss: Tensor
    """The sum of theirs."""
    kl_loss: Tensor
    """What of it is beta x KL."""
    updates: list[dict[str, float]]
    """The metrics of each."""
    clipped_BT: Tensor
    """-1 clipped below, 1 above."""
    ratio_BT: Tensor


def _step_again(kept: KeptBatch, batch: LossBatch, config: GRPOConfig) -> _Again:
    """The step's updates as the trainer makes them."""
    nothing = batch.logp.sum() * 0.0
    clipped_BT = torch.zeros(batch.logp.shape, dtype=torch.int8)
    again = _Again(nothing, nothing, [], clipped_BT, torch.zeros_like(batch.logp.detach()))
    for rows, totals in updates_again(kept, config):
        if not len(rows):
            again.updates.append({"loss": 0.0})
            continue
        part = batch.rows(rows)
        out = part.loss(config, totals)
        again.loss = again.loss + out.loss
        again.kl_loss = again.kl_loss + kl_loss(part, config, totals)
        above = out.per_token.clipped_high.to(torch.int8)
        below = out.per_token.clipped_low.to(torch.int8)
        again.clipped_BT[rows] = above - below
        again.ratio_BT[rows] = out.per_token.ratio
        metrics = {name: float(value) for name, value in out.metrics.items()}
        again.updates.append(metrics | {"loss": float(out.loss.detach())})
    return again


def kl_loss(part: LossBatch, config: GRPOConfig, totals: BatchTotals) -> Tensor:
    """beta x KL of an update as it stands in its loss, with its gradient; 0 without one."""
    if config.beta == 0 or part.ref_logp is None:
        return part.logp.sum() * 0.0
    x = clean_inputs(
        part.logp, part.advantages, part.mask, part.old_logp, part.ref_logp, None, None
    )
    ratio_RT = importance_ratio(x, config.importance_sampling_level)
    correction_RT = ratio_RT if config.use_bias_correction_kl else None
    assert x.ref_logp_BT is not None
    kl_RT = kl_per_token(x.logp_BT, x.ref_logp_BT, config.kl_estimator, correction_RT)
    term_RT = torch.where(x.valid_BT, config.beta * kl_RT, 0.0)
    terms = Terms(term_RT, x.mask_BT, part.group_tokens, totals)
    return REDUCTIONS[reduction_of(config)](terms, config)


@dataclass(frozen=True)
class Comparison:
    """What happened beside what would have."""

    kept: KeptBatch
    happened: Outcome
    what_if: Outcome

    @cached_property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """field -> (in force, asked about)."""
        pairs = {
            f.name: (getattr(self.happened.config, f.name), getattr(self.what_if.config, f.name))
            for f in fields(GRPOConfig)
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    @cached_property
    def tokens(self) -> int:
        """Tokens that are compared."""
        return int(self.kept.counted_BT.sum())

    @cached_property
    def changed_tokens(self) -> int:
        """Tokens that are clipped in one of the two and not, or on the other side, in the other."""
        return int((self.happened.clipped_BT != self.what_if.clipped_BT).sum())

    @cached_property
    def changed_advantages(self) -> int:
        """Completions with another advantage."""
        a, b = self.happened.advantages_B, self.what_if.advantages_B
        return int((~np.isclose(a, b, rtol=0, atol=SAME_ADVANTAGE, equal_nan=True)).sum())

    @cached_property
    def unknown_but_wanted(self) -> int:
        """Skipped completions that would have an advantage: what they would add is not known."""
        return int(
            (self.kept.skipped_B.numpy() & (np.nan_to_num(self.what_if.advantages_B) != 0)).sum()
        )

    @cached_property
    def cosine(self) -> float | None:
        """Of the angle between the two gradients; None where one of them is 0."""
        a, b = (o.gradient_BT.astype(np.float64).ravel() for o in (self.happened, self.what_if))
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(np.clip(a @ b / lengths, -1.0, 1.0)) if lengths > 0 else None

    @cached_property
    def changed_rows(self) -> dict[int, int]:
        """Completion -> tokens whose push or clip state is another one, of the completions with
        such a token or another advantage."""
        happened, what_if = self.happened, self.what_if
        moved_BT = happened.clipped_BT != what_if.clipped_BT
        size = np.abs(happened.gradient_BT).max(initial=0.0)
        difference_BT = np.abs(happened.gradient_BT - what_if.gradient_BT)
        moved_BT |= difference_BT > SAME_PUSH * size
        a, b = happened.advantages_B, what_if.advantages_B
        other_B = ~np.isclose(a, b, rtol=0, atol=SAME_ADVANTAGE, equal_nan=True)
        tokens_B = moved_BT.sum(1)
        rows = np.flatnonzero((tokens_B > 0) | other_B)
        return {int(row): int(tokens_B[row]) for row in rows}

    def moving_share(self, outcome: Outcome) -> float:
        """Share of the tokens with a gradient: neither clipped away, nor without an advantage and a
        KL."""
        return float((outcome.gradient_BT != 0).sum()) / max(self.tokens, 1)

    @cached_property
    def on_policy(self) -> bool:
        """True when every ratio is 1, so that no clip can act."""
        old_BT, logp_BT = self.kept.batch.old_logp, self.kept.batch.logp
        return old_BT is None or bool(((logp_BT - old_BT)[self.kept.counted_BT].abs() < 1e-6).all())


def _per_completion(advantages: Tensor, kept: KeptBatch) -> np.ndarray:
    if advantages.dim() == 1:
        return advantages.double().numpy()
    mask_BT = kept.written_BT
    total_B = torch.where(mask_BT, advantages, 0.0).sum(1) / mask_BT.sum(1).clamp(min=1)
    return total_B.double().numpy()
