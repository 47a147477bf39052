"""A step's record held against itself: what each token's coefficient should be, by the settings and
by what stands beside it in the same record, in numpy.

Suffixes: B completions, T tokens of the longest one. The coefficient of a token is what grad log pi
was multiplied with, minus the derivative of the loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench.config import LOSSES
from workbench.runs import DamagedError, Run, RunRecordError, RunWarning

PLAIN_METHODS = ("grpo", "rloo", "reinforce_pp_baseline", "iterative_grpo")
"""Methods whose coefficient is the advantage through the loss, and nothing else."""

PLAIN = {
    "importance_sampling_level": "token",
    "delta": None,
    "off_policy_mask_threshold": None,
    "importance_sampling_mode": None,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "num_iterations": 1,
}
"""Settings under which a coefficient can be reckoned from the record: no mask or weight that is not
recorded, and each completion used once, so that what is recorded of it is what made its
gradient."""


@dataclass(frozen=True)
class StepAudit:
    """One step whose tokens were kept, and what they should have been."""

    step: int

    batch: Mapping[str, Any]
    """As `Run.batch` gives it."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings in force at the step."""
        settings: Mapping[str, Any] = self.batch["config"]
        return settings

    def array(self, name: str) -> np.ndarray | None:
        """A recorded array (B, T) in float64; None where it was not recorded."""
        values = self.batch.get(f"{name}_BT")
        return None if values is None else np.asarray(values, dtype=float)

    @cached_property
    def sampled_BT(self) -> np.ndarray:
        """bool, every sampled token."""
        return np.asarray(self.batch["mask_BT"], dtype=bool)

    @cached_property
    def mask_BT(self) -> np.ndarray:
        """bool, the tokens that the loss should count: of truncated completions none where they
        are left out, and none that no update saw."""
        mask_BT: np.ndarray = self.sampled_BT & np.isfinite(self.batch["logp_BT"])
        if self.config.get("mask_truncated_completions"):
            mask_BT = mask_BT & ~self._truncated_B[:, None]
        return mask_BT

    @property
    def _truncated_B(self) -> np.ndarray:
        return np.asarray(self.batch["truncated_B"], dtype=bool)

    @cached_property
    def old_BT(self) -> np.ndarray:
        """Log-probabilities before the first update."""
        old = self.array("old_logp")
        return self._logp_BT if old is None else old

    @property
    def _logp_BT(self) -> np.ndarray:
        return np.asarray(self.batch["logp_BT"], dtype=float)

    @property
    def is_plain(self) -> bool:
        """Whether the coefficients can be reckoned."""
        config = self.config
        loss = LOSSES.get(str(config.get("loss_type")))
        return (
            loss is not None
            and loss.bound == "clip"
            and not loss.selects
            and config.get("method", "grpo") in PLAIN_METHODS
            and all(config.get(name, usual) == usual for name, usual in PLAIN.items())
            and self.array("coefficient") is not None
            and self.array("advantage") is None
            and config.get("kl_estimator", "k3") == "k3"
        )

    # ------------------------------------------------------------ the coefficients

    @cached_property
    def ratio_BT(self) -> np.ndarray:
        """The importance ratio."""
        return np.exp(np.where(self.mask_BT, self._logp_BT - self.old_BT, 0.0))

    @cached_property
    def advantage_BT(self) -> np.ndarray:
        """The advantage of each token's completion."""
        advantage_B1 = np.nan_to_num(np.asarray(self.batch["advantages_B"], dtype=float))[:, None]
        return np.broadcast_to(advantage_B1, self.mask_BT.shape)

    @cached_property
    def pushed_BT(self) -> np.ndarray:
        """bool, tokens with an advantage that clipping does not stop."""
        low = self.config["epsilon"]
        high = self.config.get("epsilon_high")
        high = low if high is None else high
        clipped_BT = np.where(
            self.advantage_BT > 0, self.ratio_BT > 1 + high, self.ratio_BT < 1 - low
        )
        pushed_BT: np.ndarray = self.mask_BT & ~clipped_BT & (np.abs(self.advantage_BT) > 1e-6)
        return pushed_BT

    @cached_property
    def scale_BT(self) -> np.ndarray:
        """What the policy term's coefficient is of what it should be, 1 where all is right; NaN
        where nothing pushes."""
        coefficient_BT = self.array("coefficient")
        assert coefficient_BT is not None
        policy_BT = coefficient_BT * self.denominator_B[:, None] + self._kl_push_BT
        expected_BT = self.advantage_BT * self.ratio_BT
        scale_BT: np.ndarray = np.divide(
            policy_BT,
            expected_BT,
            out=np.full(expected_BT.shape, np.nan),
            where=self.pushed_BT,
        )
        return scale_BT

    @property
    def _kl_push_BT(self) -> np.ndarray:
        """beta times the derivative of the KL estimate k3 at the log-probability."""
        beta = float(self.config.get("beta") or 0.0)
        ref_BT = self.array("ref_logp")
        if beta == 0 or ref_BT is None:
            return np.zeros(self.mask_BT.shape)
        d_BT = np.where(self.mask_BT, ref_BT - self._logp_BT, 0.0)
        # With the ratio in front the derivatives of both factors add up to this.
        if self.config.get("use_bias_correction_kl"):
            return -beta * self.ratio_BT * d_BT
        return beta * (1 - np.exp(d_BT))

    @cached_property
    def denominator_B(self) -> np.ndarray:
        """What each completion's terms are divided by, as the loss's reduction has it."""
        counted_B = self._counted_BT.sum(1)
        updates = int(self.config.get("updates_per_rollout") or 1)
        rows = len(counted_B)
        per_update = -(-rows // updates)
        update_B = np.arange(rows) // per_update
        rows_B = np.bincount(update_B)[update_B].astype(float)
        group = self.batch["num_generations"]
        group_B = np.arange(rows) // group
        reduction = self.config.get("loss_reduction")
        reduction = reduction or LOSSES[str(self.config["loss_type"])].reduction
        choices = {
            "token_mean": np.full(rows, counted_B.sum() / updates),
            "update_token_mean": np.bincount(update_B, counted_B)[update_B],
            "sequence_mean": rows_B * counted_B,
            "constant_length": rows_B * float(self.config["max_completion_length"]),
            "prompt_mean": rows_B / group * np.bincount(group_B, counted_B)[group_B],
            "sequence_sum": rows_B,
        }
        denominator_B: np.ndarray = np.maximum(choices[reduction], 1.0)
        return denominator_B

    @property
    def _counted_BT(self) -> np.ndarray:
        """Tokens in the denominators: of skipped completions too, which have no log-probability."""
        counted_BT: np.ndarray = self.sampled_BT
        if self.config.get("mask_truncated_completions"):
            counted_BT = counted_BT & ~self._truncated_B[:, None]
        return counted_BT

    @property
    def padded_scale(self) -> float:
        """What `scale_BT` is where padding counts as tokens: the sampled tokens, of all places up
        to the longest completion."""
        return float(self.sampled_BT.sum()) / self.sampled_BT.size

    # ------------------------------------------------------------ the end tokens

    @cached_property
    def ended_B(self) -> np.ndarray:
        """bool, completions that ended by themselves and have an advantage."""
        counted_B = self.mask_BT.any(1) & (np.abs(self.advantage_BT[:, 0]) > 1e-6)
        ended_B: np.ndarray = counted_B & ~self._truncated_B
        return ended_B

    @property
    def last_coefficient_B(self) -> np.ndarray:
        """The coefficient of the last token of each of `ended_B`."""
        coefficient_BT = self.array("coefficient")
        assert coefficient_BT is not None
        rows = np.flatnonzero(self.ended_B)
        last = np.asarray(self.batch["lengths_B"])[rows] - 1
        found: np.ndarray = coefficient_BT[rows, last]
        return found

    # ------------------------------------------------------------ the KL

    def kl_means(self) -> tuple[float, float] | None:
        """Mean of k3 over the tokens, and of k3 the wrong way round; None without a reference."""
        ref_BT = self.array("ref_logp")
        if ref_BT is None or not self.mask_BT.any():
            return None
        d = (ref_BT - self._logp_BT)[self.mask_BT]
        weight = self.ratio_BT[self.mask_BT] if self.config.get("use_bias_correction_kl") else 1.0
        right = weight * (np.expm1(d) - d)
        wrong = weight * (np.expm1(-d) + d)
        return float(right.mean()), float(wrong.mean())


@dataclass(frozen=True)
class StepTexts:
    """The texts of one step's samples, B completions in groups of G."""

    step: int
    group_size: int
    prompts: list[str]
    golds: list[str]
    """'' where a problem has none."""
    completions: list[str]

    rewards_BK: np.ndarray
    """Each function's reward; NaN: not scored."""

    truncated_B: np.ndarray


@lru_cache(maxsize=8)
def audit_of(path: str, run_id: str, revision: int, step: int) -> StepAudit | None:
    """The tokens of a step; None where they were not kept."""
    try:
        batch = Run.open(Path(path)).batch(step)
    except DamagedError as error:
        # The doctor speaks of the other steps.
        warnings.warn(str(error), RunWarning, stacklevel=2)
        return None
    except RunRecordError:
        return None
    return StepAudit(step, batch) if "logp_BT" in batch else None


@lru_cache(maxsize=32)
def texts_of(path: str, run_id: str, revision: int, step: int) -> StepTexts | None:
    """The texts of a step; None where its samples were not kept."""
    run = Run.open(Path(path))
    try:
        frame = run.samples(step)
    except DamagedError as error:
        warnings.warn(str(error), RunWarning, stacklevel=2)
        return None
    if not len(frame):
        return None
    return StepTexts(
        step=step,
        group_size=int((frame["group"] == 0).sum()),
        prompts=[str(text) for text in frame["prompt"]],
        golds=[text if isinstance(text, str) else "" for text in frame["gold_answer"]],
        completions=[str(text) for text in frame["completion"]],
        rewards_BK=frame[[f"rewards/{name}" for name in run.meta.reward_names]].to_numpy(float),
        truncated_B=frame["truncated"].to_numpy(bool),
    )
