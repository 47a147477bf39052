"""What each sampled token of one completion contributed to an update, from the recorded numbers, in
numpy alone.

The quantities are those of `workbench.objective` (the tests hold them equal to its `PerToken`), so
that the microscope opens a stored run without torch. The record is float32 and the trainer computed
in float32; here the same numbers are taken in float64, so that a value may differ from the
trainer's in the seventh digit.

Suffixes: B completions of the step, T tokens of one completion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np

from workbench.config import LOSSES, GRPOConfig

Array = np.ndarray
LOGP_MEANING = (
    "logp is each token's log-probability when its row was last used in an update of this step, not after the step: with "
    "several updates per rollout a row of the first update shows the policy before it moved."
)


@dataclass(frozen=True)
class RowInputs:
    """One completion as the loss saw it: (T,) arrays in float64, None = not recorded.

    advantage_T   what the token's term is multiplied with
    logp_T        log-probability when the row was last used in an update, NaN where it was skipped
    old_logp_T    before the first update; on-policy, where none was recorded, `logp_T` itself
    ref_logp_T, sampler_logp_T, entropy_T   under the reference, under the sampler; entropy of the policy in nats
    counted       False where the whole row was left out of the loss (`mask_truncated_completions`)
    update, updates   the row was last used in this one of so many updates, from 1
    entropy_threshold  where top_entropy_quantile < 1, the entropy from which on a token's policy
    term is kept
    """

    ids_T: Array
    advantage_T: Array
    logp_T: Array | None
    old_logp_T: Array | None
    ref_logp_T: Array | None
    sampler_logp_T: Array | None
    entropy_T: Array | None
    counted: bool
    update: int
    updates: int
    entropy_threshold: float
    config: SimpleNamespace

    @property
    def on_policy(self) -> bool:
        """One update per rollout: the ratio is exactly 1."""
        return self.updates == 1

    @property
    def skipped(self) -> bool:
        """The row was left out of its update because it could not move the policy, so its `logp`
        was not computed."""
        unknown = (
            self.logp_T is not None and len(self.logp_T) > 0 and bool(np.isnan(self.logp_T).all())
        )
        return unknown and (
            not self.counted or (self.config.beta == 0 and not self.advantage_T.any())
        )

    def filled(self, name: str) -> Array:
        """An array by name, all NaN where it was not recorded."""
        values_T = getattr(self, f"{name}_T")
        return np.full(len(self.ids_T), np.nan) if values_T is None else values_T

    @property
    def log_ratio_T(self) -> Array:
        """log pi - log pi_old."""
        return self.filled("logp") - self.filled("old_logp")


def settings_of(config: Mapping[str, Any]) -> SimpleNamespace:
    """A recorded config as attributes; a field that the record does not have (it is older) has its
    default."""
    return SimpleNamespace(**{f.name: f.default for f in fields(GRPOConfig)} | dict(config))


def row_inputs(batch: Mapping[str, Any], row: int) -> RowInputs:
    """Row `row` of what `Run.batch` gives. Raises IndexError for a row that is not there."""
    lengths_B, config = batch["lengths_B"], settings_of(batch["config"])
    if not 0 <= row < len(lengths_B):
        raise IndexError(
            f"row {row} is not in this step, which has rows 0 to {len(lengths_B) - 1}."
        )
    T = int(lengths_B[row])
    floats = {
        name: _array_of(batch, name, row, T)
        for name in ("logp", "old_logp", "ref_logp", "sampler_logp", "entropy")
    }
    per_token_T = _array_of(batch, "advantage", row, T)
    update, updates = update_of(row, len(lengths_B), config)
    if updates == 1 and floats["old_logp"] is None:
        floats["old_logp"] = floats["logp"]
    return RowInputs(
        ids_T=batch["ids_BT"][row, :T],
        advantage_T=np.full(T, float(batch["advantages_B"][row]))
        if per_token_T is None
        else per_token_T,
        **{f"{name}_T": values for name, values in floats.items()},
        counted=not (config.mask_truncated_completions and bool(batch["truncated_B"][row])),
        update=update,
        updates=updates,
        entropy_threshold=_entropy_threshold(batch, row, config),
        config=config,
    )


def update_of(row: int, rows: int, config: SimpleNamespace) -> tuple[int, int]:
    """(in which update of the step the row was last used, how many there were), from 1; as
    `objective.updates_of`."""
    part = row // -(-rows // config.updates_per_rollout)
    return (
        config.num_iterations - 1
    ) * config.updates_per_rollout + part + 1, config.updates_per_rollout * config.num_iterations


def importance_ratio(x: RowInputs) -> Array:
    """r (T,): per token, or the sequence's at each token (GSPO, arXiv 2507.18071 eq. 7)."""
    log_ratio_T = x.log_ratio_T
    if x.config.importance_sampling_level == "sequence" and len(log_ratio_T):
        log_ratio_T = np.full(len(log_ratio_T), log_ratio_T.mean())
    with np.errstate(over="ignore"):
        return np.exp(log_ratio_T)


def clip_bounds(config: SimpleNamespace) -> tuple[float, float]:
    """The ratios between which nothing is clipped; infinite where the loss type has no such
    bound."""
    if LOSSES[config.loss_type].clips:
        return 1 - config.epsilon, 1 + (
            config.epsilon if config.epsilon_high is None else config.epsilon_high
        )
    if LOSSES[config.loss_type].caps:
        return -math.inf, config.epsilon_high
    return -math.inf, math.inf


def clipped_side(x: RowInputs, ratio_T: Array) -> Array:
    """-1 where a token is clipped low (A < 0), +1 where high (A > 0), 0 elsewhere, NaN where the
    ratio is not known."""
    low, high = clip_bounds(x.config)
    side_T = 1.0 * ((ratio_T > high) & (x.advantage_T > 0)) - 1.0 * (
        (ratio_T < low) & (x.advantage_T < 0)
    )
    return np.where(np.isnan(ratio_T), np.nan, side_T)


def kl_estimate(x: RowInputs, ratio_T: Array) -> Array:
    """The KL in nats as beta multiplies it, (T,): k1, k2 or k3 (Schulman 2020), times the ratio
    where the config says so."""
    d_T = x.filled("ref_logp") - x.filled("logp")
    with np.errstate(over="ignore", invalid="ignore"):
        kl_T = {"k1": -d_T, "k2": d_T**2 / 2, "k3": np.expm1(d_T) - d_T}[x.config.kl_estimator]
        return ratio_T * kl_T if x.config.use_bias_correction_kl else kl_T


def _array_of(batch: Mapping[str, Any], name: str, row: int, T: int) -> Array | None:
    values_BT = batch.get(f"{name}_BT")
    return None if values_BT is None else values_BT[row, :T].astype(np.float64)


def _entropy_threshold(batch: Mapping[str, Any], row: int, config: SimpleNamespace) -> float:
    """The threshold of the update that the row was in; NaN where all tokens are kept."""
    if config.top_entropy_quantile >= 1 or "entropy_BT" not in batch:
        return math.nan
    rows = len(batch["lengths_B"])
    part = -(-rows // config.updates_per_rollout)
    first = row // part * part
    these = slice(first, first + part)
    counted_BT = batch["mask_BT"][these]
    if config.mask_truncated_completions:
        counted_BT = counted_BT & ~batch["truncated_B"][these, None]
    known = batch["entropy_BT"][these][counted_BT].astype(np.float64)
    known = known[~np.isnan(known)]
    return float(np.quantile(known, 1 - config.top_entropy_quantile)) if len(known) else math.nan
