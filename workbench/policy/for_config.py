"""`load_for`: the policy as a run's config asks for it. Everything that trains loads through
here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from workbench.config import ConfigError, ConfigWarning, GRPOConfig
from workbench.policy.adapter import check_saved, lora_config
from workbench.policy.load import load_policy
from workbench.policy.locate import adapter_folder
from workbench.policy.policy import Policy
from workbench.rollout import check_engine

ADAPTER_FIELDS = ("lora_rank", "lora_alpha", "lora_target_modules", "use_rslora", "use_dora")


def load_for(
    config: GRPOConfig,
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> Policy:
    """The policy `name` with the adapter, quantisation, format and checkpointing of `config`.
    Raises `PolicyError`, `ConfigError`.

    A saved adapter is trained further as it is: what the config says of an adapter must be so, what
    it leaves out may be anything.
    """
    check_engine(config)
    saved = adapter_folder(name)
    if saved is None:
        check_dtype(config)
    else:
        check_saved(
            saved,
            str(name),
            {
                n: getattr(config, n)
                for n in ADAPTER_FIELDS
                if getattr(config, n) != getattr(GRPOConfig, n)
            },
        )
    return load_policy(
        name,
        lora=lora_of(config) if saved is None else None,
        quantization=None
        if saved is not None and config.quantization == "none"
        else config.quantization,
        dtype=config.dtype,
        device=device,
        gradient_checkpointing=config.gradient_checkpointing,
        seed=config.seed,
        trust_remote_code=trust_remote_code,
    )


def lora_of(config: GRPOConfig) -> Any | None:
    """The `peft.LoraConfig` that the config describes; None where all weights are trained."""
    names = config.lora_target_modules
    alpha = config.lora_alpha if config.lora_alpha is not None else 2 * config.lora_rank
    return lora_config(
        config.lora_rank,
        lora_alpha=alpha,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        target_modules=names
        if names == "all-linear"
        else [n.strip() for n in names.split(",") if n.strip()],
    )


def check_policy(policy: Policy, config: GRPOConfig) -> None:
    """Raises `ConfigError` when a policy that was loaded by hand is not the one that the config
    describes."""
    call = f"load_for(config, {policy.source!r}) of workbench.policy"
    if not policy.trainable_parameters():
        raise ConfigError(
            f"policy {policy.source!r} was loaded with trainable=False: there is nothing to train. Load it with {call}."
        )
    if config.lora_rank > 0 and not policy.has_adapter:
        raise ConfigError(
            f"lora_rank={config.lora_rank}, but the policy has no adapter, so all weights would be trained. Load it with "
            f"load_policy({policy.source!r}, lora={config.lora_rank}) or {call}, or set lora_rank=0."
        )
    if config.quantization != policy.quantization and config.quantization != "none":
        raise ConfigError(
            f"quantization={config.quantization!r}, but the policy's weights are quantised as {policy.quantization!r}. Load it with {call}."
        )
    if config.gradient_checkpointing and not policy.gradient_checkpointing:
        raise ConfigError(
            f"gradient_checkpointing=True, but the policy was loaded without it. Load it with {call}."
        )


def check_dtype(config: GRPOConfig) -> None:
    """Raises `ConfigError` for weights that cannot be trained in the format asked for; warns where
    they hardly can."""
    if config.lora_rank == 0 and config.dtype == "float16":
        raise ConfigError(
            "dtype='float16' with lora_rank=0: trained weights cannot be float16, small steps vanish and large ones overflow. "
            "Set dtype='auto', or train an adapter (lora_rank=16)."
        )
    if config.lora_rank == 0 and config.dtype == "bfloat16" and config.learning_rate < 1e-4:
        warnings.warn(
            f"dtype='bfloat16' with lora_rank=0 and learning_rate={config.learning_rate:g}: a bfloat16 weight moves by steps of 1/256 of "
            "itself, so most updates are rounded away. dtype='auto' keeps float32 weights and computes in bfloat16 on a GPU.",
            ConfigWarning,
            stacklevel=3,
        )
