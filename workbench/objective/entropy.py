"""The entropy bonus: what is subtracted from the loss so that the policy stays open, and a
coefficient that adapts to hold a target.

Sources: TRL 1.16's `entropy_coef`, and its `use_adaptive_entropy`, which is Skywork-OR1's (arXiv
2505.22312). The gradient of the bonus runs through the entropy of the whole next-token
distribution, not through the log-probability of the sampled token: no token's coefficient holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from workbench.objective.inputs import LossInputs
from workbench.objective.masks import entropy_mask
from workbench.objective.reductions import BatchTotals

if TYPE_CHECKING:
    from workbench.config import GRPOConfig


def mean_entropy(x: LossInputs, config: GRPOConfig, totals: BatchTotals) -> Tensor:
    """This micro-batch's part of the mean entropy per token of the update in nats, 0-d, with
    gradient; with top_entropy_quantile < 1 over the tokens that it keeps.

    The mean is over tokens for every loss type, so that entropy_coef means the same in all.
    (Deviation from TRL: over the tokens of the whole update, where TRL takes each micro-batch's own
    mean.) Raises ValueError without entropies.
    """
    if x.entropy_BT is None:
        raise ValueError(
            f"entropy_coef={config.entropy_coef} needs `entropy`, the policy's entropy at each "
            "token. Pass it with its gradient, or set 0."
        )
    counted_BT = x.mask_BT
    tokens = totals.bonus_tokens
    if config.top_entropy_quantile < 1:
        share = config.top_entropy_quantile
        counted_BT = counted_BT * entropy_mask(x, share, totals.entropy_threshold)
        # Without the update's threshold its number of tokens is not known either.
        tokens = None if totals.entropy_threshold is None else tokens
    if tokens is None:
        tokens = counted_BT.sum().clamp(min=1)
    return (counted_BT * x.entropy_BT).sum() / tokens


@dataclass(frozen=True)
class EntropyControl:
    """What an adapting coefficient remembers from one update to the next. Without
    use_adaptive_entropy it does nothing."""

    coef: float
    """For the next update."""

    last_entropy: float | None = None
    """The mean entropy of the last update in nats; None before the first one."""

    def in_force(self, config: GRPOConfig) -> GRPOConfig:
        """The config of the next update: no bonus before an entropy was measured, nor while it is
        above the target, as in TRL."""
        if not config.use_adaptive_entropy:
            return config
        wanted = self.last_entropy is not None and self.last_entropy <= config.entropy_target
        coef = self.coef if wanted else 0.0
        return config if coef == config.entropy_coef else config.replace(entropy_coef=coef)

    def after(self, metrics: Mapping[str, float], config: GRPOConfig) -> EntropyControl:
        """What it remembers after an update with these metrics; one of no tokens says nothing."""
        if not config.use_adaptive_entropy or "entropy" not in metrics:
            return self
        entropy = metrics["entropy"]
        coef = next_entropy_coef(
            self.coef,
            entropy,
            config.entropy_target,
            config.entropy_coef_delta,
            config.entropy_coef_min,
            config.entropy_coef_max,
        )
        return EntropyControl(coef, entropy)

    def figures(self, config: GRPOConfig) -> dict[str, float]:
        """For the record: the coefficient that the next update begins with."""
        return {"entropy_coef": self.coef} if config.use_adaptive_entropy else {}

    def to_list(self) -> list[float | None]:
        """For a checkpoint."""
        return [self.coef, self.last_entropy]

    @classmethod
    def from_list(cls, kept: Sequence[Any] | None, config: GRPOConfig) -> EntropyControl:
        """What a checkpoint holds; one that is older than the bonus holds nothing, and began as a
        new run does."""
        return cls(config.entropy_coef) if kept is None else cls(*kept)


def next_entropy_coef(
    coef: float,
    entropy: float,
    target: float,
    step_size: float,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> float:
    """The coefficient after an update with this mean entropy: a step up where the entropy is at or
    below the target, else a step down, within its bounds (Skywork-OR1, as in TRL)."""
    if entropy <= target:
        return min(coef + step_size, highest)
    return max(coef - step_size, lowest)
