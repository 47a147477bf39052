"""Rules between the fields of a `GRPOConfig`: combinations that cannot work, and those that
mislead.

Each rule is one line of a table: (does it apply?, what to say). The text names the fields, their
values and the remedy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.config_engines import facts_of

if TYPE_CHECKING:
    from workbench.config import GRPOConfig

CLIPPED_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")
"""The loss types whose term is the clipped surrogate."""


def errors_of(c: GRPOConfig) -> list[str]:
    """What makes this config impossible, a sentence each."""
    high = c.epsilon if c.epsilon_high is None else c.epsilon_high
    own = facts_of(c).own_memory
    rules = [
        (
            c.loss_type == "cispo" and c.epsilon_high is None,
            "loss_type='cispo' needs epsilon_high: there it is the absolute cap of the ratio, and without it every ratio "
            "above 0.2 would be cut. Set epsilon_high=5.0 (the preset 'cispo').",
        ),
        (
            c.delta is not None and c.loss_type in CLIPPED_LOSSES and c.delta <= 1 + high,
            f"delta={c.delta!r} must be above 1 + epsilon_high = {1 + high:g}: below it, delta cuts what clipping would have "
            f"kept. Set delta above {1 + high:g}, or None.",
        ),
        (
            c.delta is not None and c.loss_type not in CLIPPED_LOSSES,
            f"delta={c.delta!r} has no effect with loss_type={c.loss_type!r}, which has no unclipped branch. Set delta=None.",
        ),
        (
            c.prompts_per_step % c.updates_per_rollout != 0,
            f"updates_per_rollout={c.updates_per_rollout} does not divide prompts_per_step={c.prompts_per_step}: a batch is split "
            "by whole groups. Change one of the two.",
        ),
        (
            c.loss_type == "vespo" and (c.importance_sampling_mode or "").startswith("sequence"),
            f"importance_sampling_mode={c.importance_sampling_mode!r} with loss_type='vespo', which makes a sequence weight itself. Set "
            "importance_sampling_mode='token_truncate' or None.",
        ),
        (
            c.importance_sampling_level == "sequence" and c.loss_type in ("cispo", "vespo", "sapo"),
            f"importance_sampling_level='sequence' with loss_type={c.loss_type!r}: its weight is per token (vespo makes its own "
            "sequence weight). Set importance_sampling_level='token'.",
        ),
        (
            c.importance_sampling_clip_min is not None
            and c.importance_sampling_clip_max is not None
            and c.importance_sampling_clip_min >= c.importance_sampling_clip_max,
            f"importance_sampling_clip_min={c.importance_sampling_clip_min} must be below importance_sampling_clip_max="
            f"{c.importance_sampling_clip_max}.",
        ),
        (
            c.warmup_steps >= c.max_steps and c.warmup_steps > 0,
            f"warmup_steps={c.warmup_steps} must be below max_steps={c.max_steps}: the run would end in its warm-up.",
        ),
        (
            c.quantization != "none" and c.lora_rank == 0,
            f"quantization={c.quantization!r} with lora_rank=0: quantised weights stand still, so there would be nothing to train. Set "
            "lora_rank=16 (--lora), or quantization='none'.",
        ),
        (
            c.lora_rank == 0
            and (
                c.lora_alpha is not None
                or c.use_rslora
                or c.use_dora
                or c.lora_target_modules != "all-linear"
            ),
            "lora_alpha, lora_target_modules, use_rslora and use_dora belong to an adapter, and lora_rank=0 makes none. Set lora_rank=16.",
        ),
        (
            own is not None and not own.is_beside(c) and not getattr(c, own.address_field),
            "" if own is None else own.address_missing,
        ),
        (
            not _good_weights(c.reward_weights),
            f"reward_weights={c.reward_weights!r}: must be finite numbers, not all of them 0.",
        ),
    ]
    return [text for applies, text in rules if applies]


def warnings_of(c: GRPOConfig) -> list[str]:
    """What probably is not meant, a sentence each."""
    rules = [
        (
            c.on_policy and c.loss_type in CLIPPED_LOSSES and c.delta is not None,
            f"delta={c.delta!r} does nothing with one update per rollout: the ratio is exactly 1. Set updates_per_rollout=2.",
        ),
        (
            c.importance_sampling_level == "sequence" and c.epsilon > 0.05,
            f"importance_sampling_level='sequence' with epsilon={c.epsilon}: a sequence ratio is a mean and stays near 1, so "
            "this clips nothing. GSPO uses epsilon=3e-4, epsilon_high=4e-4 (the preset 'gspo').",
        ),
        (
            c.loss_type == "luspo" and c.importance_sampling_level == "token",
            "loss_type='luspo' is meant for importance_sampling_level='sequence'.",
        ),
        (
            c.loss_type == "cispo" and c.epsilon_high is not None and c.epsilon_high < 1,
            f"loss_type='cispo' with epsilon_high={c.epsilon_high}: it is the absolute cap of the ratio, so even a ratio of 1 is cut. "
            "Set epsilon_high=5.0.",
        ),
        (
            c.scale_rewards == "group" and c.num_generations == 2,
            "num_generations=2 with scale_rewards='group': every advantage is about +-0.7, however close the rewards are. "
            "Use 4 or more, or scale_rewards='none'.",
        ),
        (
            c.advantage_baseline == "none",
            "advantage_baseline='none': with rewards of one sign every completion is pushed the same way.",
        ),
        (
            c.scale_rewards == "group" and c.advantage_baseline in ("batch", "none"),
            f"scale_rewards='group' with advantage_baseline={c.advantage_baseline!r}: a group of nearly equal rewards is divided by a "
            "tiny std without being centred. Set scale_rewards='batch' or 'none'.",
        ),
        (
            c.top_p < 1 or c.top_k > 0,
            f"top_p={c.top_p}, top_k={c.top_k}: samples come from a truncated distribution while the loss uses the full one, "
            "so ratios are biased. Use top_p=1, top_k=0 for training.",
        ),
    ]
    return [text for applies, text in rules if applies]


def _good_weights(weights: tuple[float, ...] | None) -> bool:
    if weights is None:
        return True
    if not isinstance(weights, tuple):
        return False
    numbers = all(
        isinstance(w, (int, float)) and not isinstance(w, bool) and math.isfinite(w)
        for w in weights
    )
    return numbers and any(w != 0 for w in weights)
