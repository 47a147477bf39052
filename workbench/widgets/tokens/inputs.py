"""The recorded numbers of one completion, as the loss saw them. Needs no torch.

Suffixes: B completions of the step, T tokens of one completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np

from workbench.config import GRPOConfig

Array = np.ndarray[Any, Any]
LOGP_MEANING = (
    "logp is each token's log-probability when its row was last used in an update of this step, "
    "not after the step: with several updates per rollout a row of the first update shows the "
    "policy before it moved."
)


@dataclass(frozen=True)
class RowInputs:
    """One completion as the loss saw it: (T,) arrays in float64, None = not recorded."""

    ids_T: Array
    advantage_T: Array
    """What the token's term is multiplied with."""
    logp_T: Array | None
    """Log-probability when the row was last used in an update, NaN where it was skipped."""
    old_logp_T: Array | None
    """Before the first update; on-policy, where none was recorded, `logp_T` itself."""
    ref_logp_T: Array | None
    """Under the reference."""
    sampler_logp_T: Array | None
    """Under the sampler."""
    entropy_T: Array | None
    """Entropy of the policy in nats."""
    coefficient_T: Array | None
    """What grad log pi of the token was multiplied with; 0 where the row was skipped."""
    counted: bool
    """False where the whole row was left out of the loss (`mask_truncated_completions`)."""
    update: int
    """The row was last used in this update of the step, from 1."""
    updates: int
    """So many updates the step had."""
    config: SimpleNamespace
    settings_known: bool
    """False where the record does not have the run's settings, as that of an imported run: `config`
    is then the defaults."""

    @property
    def on_policy(self) -> bool:
        """One update per rollout: the ratio is exactly 1."""
        return self.updates == 1

    @property
    def skipped(self) -> bool:
        """The row was left out of its update because it could not move the policy, so its `logp`
        was not computed."""
        if self.logp_T is None or not len(self.logp_T) or not np.isnan(self.logp_T).all():
            return False
        return not self.counted or (self.config.beta == 0 and not self.advantage_T.any())

    def filled(self, name: str) -> Array:
        """An array by name, all NaN where it was not recorded."""
        values_T: Array | None = getattr(self, f"{name}_T")
        return np.full(len(self.ids_T), np.nan) if values_T is None else values_T

    @property
    def log_ratio_T(self) -> Array:
        """log pi - log pi_old."""
        return self.filled("logp") - self.filled("old_logp")


def settings_of(config: Mapping[str, Any]) -> SimpleNamespace:
    """A recorded config as attributes; a field that the record does not have (it is older) has its
    default."""
    return SimpleNamespace(**{f.name: f.default for f in fields(GRPOConfig)} | dict(config))


def has_settings(config: Mapping[str, Any]) -> bool:
    """Whether a recorded config says how the loss was made; that of an imported run does not."""
    return not {"beta", "loss_type"}.isdisjoint(config)


def row_inputs(batch: Mapping[str, Any], row: int) -> RowInputs:
    """Row `row` of what `Run.batch` gives. Raises IndexError for a row that is not there."""
    lengths_B = batch["lengths_B"]
    config = settings_of(batch["config"])
    if not 0 <= row < len(lengths_B):
        raise IndexError(
            f"row {row} is not in this step, which has rows 0 to {len(lengths_B) - 1}."
        )
    T = int(lengths_B[row])
    advantage_T = _array_of(batch, "advantage", row, T)
    if advantage_T is None:
        advantage_T = np.full(T, float(batch["advantages_B"][row]))
    logp_T = _array_of(batch, "logp", row, T)
    old_logp_T = _array_of(batch, "old_logp", row, T)
    update, updates = update_of(row, len(lengths_B), config)
    # Of a training that shuffles its rows the record says it.
    recorded_T = _array_of(batch, "update", row, T)
    if recorded_T is not None and np.isfinite(recorded_T).any():
        update = int(np.nanmax(recorded_T))
    if updates == 1 and old_logp_T is None:
        old_logp_T = logp_T
    return RowInputs(
        ids_T=batch["ids_BT"][row, :T],
        advantage_T=advantage_T,
        logp_T=logp_T,
        old_logp_T=old_logp_T,
        ref_logp_T=_array_of(batch, "ref_logp", row, T),
        sampler_logp_T=_array_of(batch, "sampler_logp", row, T),
        entropy_T=_array_of(batch, "entropy", row, T),
        coefficient_T=_array_of(batch, "coefficient", row, T),
        counted=not (config.mask_truncated_completions and bool(batch["truncated_B"][row])),
        update=update,
        updates=updates,
        config=config,
        settings_known=has_settings(batch["config"]),
    )


def update_of(row: int, rows: int, config: SimpleNamespace) -> tuple[int, int]:
    """(in which update of the step the row was last used, how many there were), from 1; as
    `objective.updates_of`."""
    per_pass = config.updates_per_rollout
    place = row // _rows_per_update(rows, config)
    return (config.num_iterations - 1) * per_pass + place + 1, per_pass * config.num_iterations


def rows_of_update(row: int, rows: int, config: SimpleNamespace) -> slice:
    """The rows that were in one update with `row`."""
    size = _rows_per_update(rows, config)
    first = row // size * size
    return slice(first, first + size)


def _rows_per_update(rows: int, config: SimpleNamespace) -> int:
    # Rounded up, as torch.chunk does: the last update of an uneven step has the rest.
    return -(-rows // int(config.updates_per_rollout))


def _array_of(batch: Mapping[str, Any], name: str, row: int, T: int) -> Array | None:
    values_BT = batch.get(f"{name}_BT")
    return None if values_BT is None else values_BT[row, :T].astype(np.float64)
