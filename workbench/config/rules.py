"""Rules between the fields of a `GRPOConfig`: combinations that cannot work, and those that
mislead.

Each rule is one line of a table: (does it apply?, what to say). The text names the fields, their
values and the remedy.
"""

from __future__ import annotations

import math
from typing import Any

from workbench.config.advantages import estimator_problems
from workbench.config.engines import facts_of
from workbench.config.losses import LOSSES, SEQUENCE_LEVELS
from workbench.config.methods import METHODS

Config = Any
"""A `GRPOConfig`. Its module imports this one, so naming the type here would be a circle."""

Rule = tuple[bool, str]
"""(does it apply?, what to say)."""


def errors_of(config: Config) -> list[str]:
    """What makes this config impossible, a sentence each."""
    rules = [
        *_clipping_errors(config),
        *_sampling_weight_errors(config),
        *_entropy_errors(config),
        *_batch_errors(config),
        *_model_errors(config),
        *_method_errors(config),
    ]
    return [text for applies, text in rules if applies] + estimator_problems(config)


def warnings_of(config: Config) -> list[str]:
    """What probably is not meant, a sentence each."""
    rules = [*_loss_warnings(config), *_batch_warnings(config)]
    return [text for applies, text in rules if applies]


def _clipping_errors(config: Config) -> list[Rule]:
    """epsilon, epsilon_high and delta beside the loss type."""
    loss = LOSSES[config.loss_type]
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    return [
        (
            loss.caps and config.epsilon_high is None,
            f"loss_type={config.loss_type!r} needs epsilon_high: there it is the absolute cap of "
            "the ratio, and without it every ratio above 0.2 would be cut. Set epsilon_high=5.0 "
            "(the preset 'cispo').",
        ),
        (
            config.delta is not None and loss.has_delta and config.delta <= 1 + high,
            f"delta={config.delta!r} must be above 1 + epsilon_high = {1 + high:g}: below it, "
            "delta cuts what clipping would have kept. Set delta above "
            f"{1 + high:g}, or None.",
        ),
        (
            config.delta is not None and not loss.has_delta,
            f"delta={config.delta!r} has no effect with loss_type={config.loss_type!r}, which has "
            "no unclipped branch. Set delta=None.",
        ),
    ]


def _sampling_weight_errors(config: Config) -> list[Rule]:
    """The settings of importance_sampling_*, beside the loss type and each other."""
    loss = LOSSES[config.loss_type]
    mode = config.importance_sampling_mode
    level = config.importance_sampling_level
    lowest = config.importance_sampling_clip_min
    highest = config.importance_sampling_clip_max
    return [
        (
            loss.own_sequence_weight and (mode or "").startswith("sequence"),
            f"importance_sampling_mode={mode!r} with loss_type={config.loss_type!r}, which makes a "
            "sequence weight itself. Set importance_sampling_mode='token_truncate' or None.",
        ),
        (
            level not in loss.levels,
            f"importance_sampling_level={level!r} with loss_type={config.loss_type!r}: its ratio "
            "is per token (vespo and gmpo make their own of the sequence). Set "
            "importance_sampling_level='token'.",
        ),
        (
            loss.bound == "log_clip" and config.top_entropy_quantile < 1,
            f"top_entropy_quantile={config.top_entropy_quantile} with "
            f"loss_type={config.loss_type!r}: its term is one number of the whole completion, from "
            "which no token can be left out. Set top_entropy_quantile=1.0.",
        ),
        (
            lowest is not None and highest is not None and lowest >= highest,
            f"importance_sampling_clip_min={lowest} must be below "
            f"importance_sampling_clip_max={highest}.",
        ),
    ]


def _entropy_errors(config: Config) -> list[Rule]:
    """The entropy bonus beside what it cannot act on."""
    lowest = config.entropy_coef_min
    highest = config.entropy_coef_max
    return [
        (
            config.has_entropy_bonus and METHODS[config.method].of_pairs,
            f"entropy_coef={config.entropy_coef} with method={config.method!r}, whose loss of "
            "pairs has no entropy bonus. Set entropy_coef=0.",
        ),
        (
            config.use_adaptive_entropy and config.top_entropy_quantile < 1,
            f"use_adaptive_entropy with top_entropy_quantile={config.top_entropy_quantile}: the "
            "target is a mean over all tokens. Set top_entropy_quantile=1.0, or a fixed "
            "entropy_coef.",
        ),
        (
            config.clip_cov_min >= config.clip_cov_max,
            f"clip_cov_min={config.clip_cov_min} must be below clip_cov_max={config.clip_cov_max}.",
        ),
        (
            lowest > highest,
            f"entropy_coef_min={lowest} must not be above entropy_coef_max={highest}.",
        ),
    ]


def _batch_errors(config: Config) -> list[Rule]:
    return [
        (
            config.prompts_per_step % config.updates_per_rollout != 0,
            f"updates_per_rollout={config.updates_per_rollout} does not divide "
            f"prompts_per_step={config.prompts_per_step}: a batch is split by whole groups. Change "
            "one of the two.",
        ),
        (
            config.max_resample > 0 and not _dead_groups_are_idle(config),
            f"max_resample={config.max_resample} with method={config.method!r} and "
            f"advantage_baseline={config.advantage_baseline!r}: there a group of equal rewards "
            "pushes too, and need not be drawn again. Set max_resample=0.",
        ),
        (
            config.curriculum == "pass_rate" and METHODS[config.method].sampled_from != "policy",
            f"curriculum='pass_rate' with method={config.method!r}: its completions say nothing of "
            "what the policy of now can solve. Set curriculum='none'.",
        ),
        (
            config.warmup_steps >= config.max_steps and config.warmup_steps > 0,
            f"warmup_steps={config.warmup_steps} must be below max_steps={config.max_steps}: the "
            "run would end in its warm-up.",
        ),
    ]


def _method_errors(config: Config) -> list[Rule]:
    """The method beside the settings that make it, and what it needs."""
    method = METHODS[config.method]
    by_group = config.advantage_baseline in ("group", "leave_one_out")
    fixed = [
        (
            getattr(config, name) != value,
            f"{name}={getattr(config, name)!r} with method={config.method!r}, which is made by "
            f"{name}={value!r}. GRPOConfig().with_method({config.method!r}) sets all of them; "
            "method='grpo' leaves them free.",
        )
        for name, value in method.settings.items()
    ]
    return [
        *fixed,
        (
            config.num_generations < 2 and (by_group or config.method == "dpo"),
            f"num_generations={config.num_generations} with "
            f"advantage_baseline={config.advantage_baseline!r}, method={config.method!r}: a group "
            "of one has nothing to be compared with. Use 2 or more.",
        ),
        (
            config.method == "dpo" and (config.micro_batch_size or 2) % 2 != 0,
            f"micro_batch_size={config.micro_batch_size} with method='dpo': a pair must not be "
            "parted. Use an even number.",
        ),
        (
            "critic" in method.models and config.quantization != "none",
            f"quantization={config.quantization!r} with method={config.method!r}: the critic is a "
            "copy of the model that is trained whole. Set quantization='none', or take a method "
            "without a critic, such as 'rloo'.",
        ),
        (
            method.sampled_from == "initial" and facts_of(config).own_memory is not None,
            f"rollout_engine={config.rollout_engine!r} with method={config.method!r}: it samples "
            "from the weights of the beginning, and that engine holds those of now. Set "
            "rollout_engine='native'.",
        ),
        (
            config.rollout_staleness > 0 and facts_of(config).own_memory is not None,
            f"rollout_staleness={config.rollout_staleness} with "
            f"rollout_engine={config.rollout_engine!r}, which is given the weights of now and "
            "keeps no older ones. Set rollout_engine='native'.",
        ),
        (
            config.rollout_staleness > 0 and method.sampled_from != "policy",
            f"rollout_staleness={config.rollout_staleness} with method={config.method!r}: it "
            "learns from what the policy of now did not write, so no sampler can lag behind it. "
            "Set rollout_staleness=0.",
        ),
        (
            method.sampled_from != "policy" and config.importance_sampling_mode is not None,
            f"importance_sampling_mode={config.importance_sampling_mode!r} with "
            f"method={config.method!r}: it learns from what the policy of now did not write, so "
            "there is no sampler to correct for. Set importance_sampling_mode=None.",
        ),
        (
            (config.method == "process_grpo") != (config.step_rewards is not None),
            f"step_rewards={config.step_rewards!r} with method={config.method!r}: the method "
            "'process_grpo' needs them, and no other takes any. Set step_rewards="
            "'arithmetic_steps', or to None.",
        ),
        (
            ("teacher" in method.models) != (config.teacher is not None),
            f"teacher={config.teacher!r} with method={config.method!r}: the method 'distill' needs "
            "a teacher, and no other takes one. Set teacher (--teacher) to the folder of a policy, "
            "such as runs/NAME/policy, or to None.",
        ),
    ]


def _model_errors(config: Config) -> list[Rule]:
    wants_adapter = (
        config.lora_alpha is not None
        or config.use_rslora
        or config.use_dora
        or config.lora_target_modules != "all-linear"
    )
    own = facts_of(config).own_memory
    nowhere_to_ask = (
        own is not None and not own.is_beside(config) and not getattr(config, own.address_field)
    )
    return [
        (
            config.quantization != "none" and config.lora_rank == 0,
            f"quantization={config.quantization!r} with lora_rank=0: quantised weights stand "
            "still, so there would be nothing to train. Set lora_rank=16 (--lora), or "
            "quantization='none'.",
        ),
        (
            config.lora_rank == 0 and wants_adapter,
            "lora_alpha, lora_target_modules, use_rslora and use_dora belong to an adapter, and "
            "lora_rank=0 makes none. Set lora_rank=16.",
        ),
        (
            nowhere_to_ask,
            "" if own is None else own.address_missing,
        ),
        (
            not _good_weights(config.reward_weights),
            f"reward_weights={config.reward_weights!r}: must be finite numbers, not all of them 0.",
        ),
    ]


def _loss_warnings(config: Config) -> list[Rule]:
    loss = LOSSES[config.loss_type]
    level = config.importance_sampling_level
    return [
        (
            config.on_policy and loss.has_delta and config.delta is not None,
            f"delta={config.delta!r} does nothing with one update per rollout: the ratio is "
            "exactly 1. Set updates_per_rollout=2.",
        ),
        (
            config.on_policy and loss.bound == "penalty",
            f"loss_type={config.loss_type!r} holds no token with one update per rollout: the "
            "policy is the old one, and a KL to it has no gradient. Set updates_per_rollout=2.",
        ),
        (
            level in SEQUENCE_LEVELS and config.epsilon > 0.05,
            f"importance_sampling_level={level!r} with epsilon={config.epsilon}: a sequence ratio "
            "is a mean and stays near 1, so this clips nothing. GSPO uses epsilon=3e-4, "
            "epsilon_high=4e-4 (the preset 'gspo').",
        ),
        (
            level in loss.levels and loss.meant_for not in (None, level),
            f"loss_type={config.loss_type!r} is meant for "
            f"importance_sampling_level={loss.meant_for!r}.",
        ),
        (
            loss.caps and config.epsilon_high is not None and config.epsilon_high < 1,
            f"loss_type={config.loss_type!r} with epsilon_high={config.epsilon_high}: it is the "
            "absolute cap of the ratio, so even a ratio of 1 is cut. Set epsilon_high=5.0.",
        ),
    ]


def _batch_warnings(config: Config) -> list[Rule]:
    baseline = config.advantage_baseline
    by_group = config.scale_rewards == "group"
    return [
        (
            config.rollout_staleness > 0 and config.importance_sampling_mode is None,
            f"rollout_staleness={config.rollout_staleness} with importance_sampling_mode=None: "
            "that the sampler lags is measured and not corrected. Set importance_sampling_mode="
            "'token_truncate' (as TRL does by default), unless it is the harm that you want to "
            "see.",
        ),
        (
            by_group and config.num_generations == 2,
            "num_generations=2 with scale_rewards='group': every advantage is about +-0.7, however "
            "close the rewards are. Use 4 or more, or scale_rewards='none'.",
        ),
        (
            baseline == "none" and config.method == "grpo",
            "advantage_baseline='none': with rewards of one sign every completion is pushed the "
            "same way.",
        ),
        (
            by_group and baseline in ("batch", "none"),
            f"scale_rewards='group' with advantage_baseline={baseline!r}: a group of nearly equal "
            "rewards is divided by a tiny std without being centred. Set scale_rewards='batch' or "
            "'none'.",
        ),
        (
            config.top_p < 1 or config.top_k > 0,
            f"top_p={config.top_p}, top_k={config.top_k}: samples come from a truncated "
            "distribution while the loss uses the full one, so ratios are biased. Use top_p=1, "
            "top_k=0 for training.",
        ),
    ]


def _dead_groups_are_idle(config: Config) -> bool:
    """True where a group of equal rewards teaches nothing."""
    own_samples = METHODS[config.method].sampled_from == "policy"
    return own_samples and config.advantage_baseline in ("group", "leave_one_out")


def _good_weights(weights: tuple[float, ...] | None) -> bool:
    if weights is None:
        return True
    if not isinstance(weights, tuple):
        return False
    numbers = all(
        isinstance(weight, (int, float)) and not isinstance(weight, bool) and math.isfinite(weight)
        for weight in weights
    )
    return numbers and any(weight != 0 for weight in weights)
