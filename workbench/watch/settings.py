"""TRL's settings as a config of ours, so that the record's views can compute with them."""

from __future__ import annotations

import math
import warnings
from dataclasses import fields
from enum import Enum
from typing import Any

from workbench.compat.trl.arguments import SCHEDULES
from workbench.config import ConfigError, ConfigWarning, GRPOConfig

NOT_BY_NAME = (
    "max_steps",
    "warmup_steps",
    "eval_steps",
    "save_steps",
    "save_total_limit",
    "ref_model_sync_steps",
    "reward_weights",
    "scale_rewards",
    "top_k",
    "lr_scheduler_type",
    "optim",
    "vllm_mode",
    "vllm_server_base_url",
    "vllm_gpu_memory_utilization",
)
"""Fields of which TRL has the name, counted or spelt in another way, or of no use to a reader."""


def config_of(trainer: Any) -> tuple[GRPOConfig, list[str]]:
    """The config that the trainer's settings mean here, and what of them has no counterpart, as
    sentences."""
    base = _batch(trainer)
    names = [field.name for field in fields(GRPOConfig) if field.name not in NOT_BY_NAME]
    named = {n: _plain(getattr(trainer.args, n)) for n in names if hasattr(trainer.args, n)}
    wanted = named | _spelt(trainer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return _as_far_as_possible(base, wanted)


def _as_far_as_possible(
    base: dict[str, Any], wanted: dict[str, Any]
) -> tuple[GRPOConfig, list[str]]:
    try:
        return GRPOConfig(**(wanted | base)), []
    except ConfigError:
        # Which of them it is, is found by taking them over one after another.
        config = GRPOConfig(**base)
    left_out = []
    # Settings that need each other come twice.
    for is_last in (False, True):
        for name, value in wanted.items():
            if name in base or getattr(config, name) == value:
                continue
            try:
                config = config.replace(**{name: value})
            except ConfigError as error:
                if is_last:
                    left_out.append(f"{name}={value!r} is not in the record's config: {error}")
    return config, left_out


def _batch(trainer: Any) -> dict[str, Any]:
    """How a rollout is cut. TRL cuts it after a shuffle, by completions and not by groups: what
    cannot be said as whole groups is one update here."""
    args = trainer.args
    prompts = max(1, args.generation_batch_size // trainer.num_generations)
    updates = max(1, args.steps_per_generation // args.gradient_accumulation_steps)
    uneven = args.steps_per_generation % args.gradient_accumulation_steps != 0
    if uneven or prompts % updates != 0:
        updates = 1
    return {
        "prompts_per_step": prompts,
        "num_generations": trainer.num_generations,
        "updates_per_rollout": updates,
        "num_iterations": trainer.num_iterations,
        "max_steps": planned_rollouts(trainer),
    }


def planned_rollouts(trainer: Any) -> int:
    """How many rollouts the training will have; before it has begun, an estimate from the data."""
    args = trainer.args
    passes = args.steps_per_generation * trainer.num_iterations
    updates = trainer.state.max_steps or max(args.max_steps, 0)
    if updates:
        rollouts = math.ceil(updates * args.gradient_accumulation_steps / passes)
        return int(max(1, rollouts))
    try:
        prompts = len(trainer.train_dataset)
    except TypeError:
        # A stream has no length, and TRL then asks for max_steps itself.
        return 1
    per_rollout = max(1, args.generation_batch_size // trainer.num_generations)
    rollouts = math.ceil(args.num_train_epochs * (prompts // per_rollout))
    return int(max(1, rollouts))


def _spelt(trainer: Any) -> dict[str, Any]:
    """What TRL says in other words, from where the trainer reads it."""
    args = trainer.args
    scale = {True: "group", False: "none", "True": "group"}.get(
        trainer.scale_rewards, trainer.scale_rewards
    )
    high = getattr(args, "epsilon_high", None)
    values = {
        "beta": trainer.beta,
        "epsilon": trainer.epsilon_low,
        "epsilon_high": high,
        "temperature": trainer.temperature,
        "scale_rewards": scale,
        "reward_weights": tuple(map(float, trainer.reward_weights)),
        "top_k": args.top_k or 0,
        "importance_sampling_mode": None,
        "eval_steps": 0,
        "lr_scheduler_type": _schedule(args),
        "lora_rank": _lora_rank(trainer),
    }
    if trainer.use_vllm and args.vllm_importance_sampling_correction:
        values |= {
            "importance_sampling_mode": args.vllm_importance_sampling_mode,
            "importance_sampling_clip_max": args.vllm_importance_sampling_clip_max,
        }
    return values


def _schedule(args: Any) -> str:
    name = str(_plain(args.lr_scheduler_type))
    return SCHEDULES.get(name, name)


def _lora_rank(trainer: Any) -> int:
    adapters = getattr(trainer.accelerator.unwrap_model(trainer.model), "peft_config", {})
    ranks = [int(getattr(adapter, "r", 0)) for adapter in adapters.values()]
    return ranks[0] if ranks else 0


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
