"""The figures of a loss: what the dashboard plots, computed from the same tensors that made the
loss.

Shares and means are over the completion tokens, for sequence-level ratios too (as the GSPO paper
counts clipped tokens; TRL counts sequences there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.objective.inputs import LossInputs
from workbench.objective.masks import sampler_ratio

COUNTS = ("tokens", "sequences")
"""The metrics that micro-batches add up; of all others there are means and extremes."""


@dataclass(frozen=True)
class PerToken:
    """What each token contributed, (B, T), detached, 0 (False) on padding."""

    ratio: Tensor
    """Importance ratio, the sequence's at sequence level, before clipping and delta."""

    clipped_low: Tensor
    """bool, clipped below (A < 0)."""

    clipped_high: Tensor
    """bool, clipped above (A > 0)."""

    kl: Tensor | None
    """KL estimate in nats as beta multiplies it (with the ratio where use_bias_correction_kl); None
    without a reference."""

    weight: Tensor
    """Product of off-policy mask, entropy mask and sampler correction on the policy term."""

    term: Tensor
    """weight x policy term + beta x KL: what the reduction adds up."""

    mask: Tensor
    """bool, the completion tokens."""


OF_COMPLETIONS = ("dpo_chosen_log_ratio", "dpo_rejected_log_ratio", "dpo_margin", "dpo_accuracy")
"""Means over completions, or pairs of them: weighed by their number, not by their tokens."""


OF_THE_UPDATE = ("loss", "grad_norm", "value_loss", "value_mean")
"""Figures of a whole update, whatever tokens it had."""


def token_average(values_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """Mean over the completion tokens, 0-d; 0 where there are none."""
    values_BT = values_BT.to(torch.promote_types(values_BT.dtype, torch.float32))
    return torch.where(valid_BT, values_BT, 0.0).sum() / valid_BT.sum().clamp(min=1)


def loss_metrics(x: LossInputs, tokens: PerToken) -> dict[str, Tensor]:
    """Name -> 0-d tensor without gradient. What was not given is not measured and has no entry.

    tokens, sequences          how many completion tokens and completions
    ratio_mean, _min, _max     the importance ratio, before any clipping
    clip_ratio_low, _high      share of tokens clipped below, above; before `delta`
    clip_ratio_region          clipped either way
    policy_weight              mean of what masks and sampler correction multiply onto the policy
                               term; 1 = nothing
    kl                         mean of the KL per token in nats, as beta multiplies it
    entropy                    mean entropy of the policy in nats
    covariance_selected        share of tokens that clip_cov or kl_cov has chosen

    sampler_logp_difference, _max   mean and largest |log pi_old - log sampler|
    sampler_ratio_mean, _max        pi_old / sampler per token, raw: not truncated, not masked
    """

    def mean(values_BT: Tensor) -> Tensor:
        if values_BT.dtype == torch.bool:
            values_BT = values_BT.to(x.mask_BT.dtype)
        return token_average(values_BT, x.valid_BT)

    metrics = {
        "tokens": x.valid_BT.sum(),
        "sequences": torch.tensor(len(x.valid_BT), device=x.valid_BT.device),
        "ratio_mean": mean(tokens.ratio),
        "ratio_min": _largest(-tokens.ratio, x.valid_BT).neg(),
        "ratio_max": _largest(tokens.ratio, x.valid_BT),
        "clip_ratio_low": mean(tokens.clipped_low),
        "clip_ratio_high": mean(tokens.clipped_high),
        "clip_ratio_region": mean(tokens.clipped_low | tokens.clipped_high),
        "policy_weight": mean(tokens.weight),
    }
    if tokens.kl is not None:
        metrics["kl"] = mean(tokens.kl)
    if x.entropy_BT is not None:
        metrics["entropy"] = mean(x.entropy_BT.detach())
    if x.selected_BT is not None:
        metrics["covariance_selected"] = mean(x.selected_BT)
    if x.sampler_logp_BT is not None:
        difference_BT = (x.old_logp_BT - x.sampler_logp_BT).abs()
        ratio_BT = sampler_ratio(x, "token")
        metrics |= {
            "sampler_logp_difference": mean(difference_BT),
            "sampler_logp_difference_max": _largest(difference_BT, x.valid_BT),
            "sampler_ratio_mean": mean(ratio_BT),
            "sampler_ratio_max": _largest(ratio_BT, x.valid_BT),
        }
    return metrics


def merge_metrics(parts: Sequence[Mapping[str, Tensor | float]]) -> dict[str, float]:
    """The metrics of a batch from those of its micro-batches: counts added, extremes kept, means
    weighed by what they are means over, tokens or completions.

    A figure that only some parts have is that of these parts. Parts without tokens count only where
    all are such. Raises ValueError for none at all.
    """
    if not parts:
        raise ValueError("merge_metrics got no metrics: pass those of at least one micro-batch.")
    rows = [{name: float(value) for name, value in part.items()} for part in parts]
    # A mean over no tokens is 0 and an extreme of none is 0 too: neither may be taken for a figure.
    full = [row for row in rows if row["tokens"] > 0] or rows
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: _merged(name, [row for row in (rows if name in COUNTS else full) if name in row])
        for name in names
    }


def update_metrics(updates: Sequence[dict[str, float]]) -> dict[str, float]:
    """The metrics of a step's updates in one: weighed by tokens, extremes kept; loss and gradient
    norm are plain means.

    An update whose rows were all skipped (every group dead, no KL) has a loss and a norm only.
    """
    own = [name for name in OF_THE_UPDATE if name in updates[0]]
    measured = [
        {name: value for name, value in update.items() if name not in own}
        for update in updates
        if "tokens" in update
    ]
    means = {name: sum(update[name] for update in updates) / len(updates) for name in own}
    merged = merge_metrics(measured) if measured else {}
    return merged | kl_gradient_share(merged) | means | {"updates": float(len(updates))}


def kl_gradient_share(metrics: Mapping[str, float]) -> dict[str, float]:
    """{"kl_gradient_share": pull / (push + pull)} of a whole step, in [0, 1]; {} where these were
    not measured. Of the means and not a mean of shares: in an update whose groups are all dead the
    KL is all there is, however small."""
    if "kl_pull" not in metrics:
        return {}
    total = metrics["policy_push"] + metrics["kl_pull"]
    return {"kl_gradient_share": metrics["kl_pull"] / total if total > 0 else 0.0}


def _merged(name: str, rows: list[dict[str, float]]) -> float:
    values = [row[name] for row in rows]
    if name in COUNTS:
        return sum(values)
    if name.endswith("_max"):
        return max(values)
    if name.endswith("_min"):
        return min(values)
    counts = [row["sequences" if name in OF_COMPLETIONS else "tokens"] for row in rows]
    total = sum(value * count for value, count in zip(values, counts, strict=True))
    return total / max(sum(counts), 1)


def _largest(values_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """The largest value on completion tokens, 0-d; 0 where there are none."""
    largest = torch.where(valid_BT, values_BT, -torch.inf).amax()
    return torch.where(valid_BT.any(), largest, 0.0)
