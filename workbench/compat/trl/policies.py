"""The model, adapter and quantisation of a TRL script as a policy of ours."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from workbench import config as ours
from workbench.config import ConfigError
from workbench.policy import Policy, load_policy
from workbench.policy.for_config import lora_of
from workbench.policy.load import for_training
from workbench.policy.loading.tokenizer_checks import check_template, check_vocabulary
from workbench.policy.loading.tokens import end_token_ids, padding_id
from workbench.policy.vocabulary import rows_said_by

_LORA_READ = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora")
_LORA_WITHOUT_EFFECT = (
    "task_type",
    "peft_type",
    "peft_version",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "runtime_config",
    "megatron_core",
    "fan_in_fan_out",
    "lora_dropout",
)


def adapter_settings(peft_config: Any) -> dict[str, Any]:
    """The fields of ours that make a `peft.LoraConfig`. Dropout is always off here, so that
    lora_dropout has no effect. Raises `ConfigError` for what has no counterpart."""
    if peft_config is None:
        return {}
    from peft import LoraConfig

    if not isinstance(peft_config, LoraConfig):
        raise ConfigError(
            f"peft_config={peft_config!r:.80}: of peft's adapters the workbench trains LoRA. Give "
            "a peft.LoraConfig."
        )
    usual = LoraConfig()
    other = [
        field.name
        for field in fields(peft_config)
        if field.name not in (*_LORA_READ, *_LORA_WITHOUT_EFFECT)
        and getattr(peft_config, field.name) != getattr(usual, field.name)
    ]
    if other:
        said = ", ".join(f"{name}={getattr(peft_config, name)!r:.60}" for name in other)
        raise ConfigError(
            f"peft_config: {said}: no counterpart in the workbench. Of LoraConfig it knows "
            f"{', '.join(_LORA_READ)}."
        )
    modules = peft_config.target_modules or "all-linear"
    named = modules if isinstance(modules, str) else ",".join(sorted(modules))
    return {
        "lora_rank": peft_config.r,
        "lora_alpha": float(peft_config.lora_alpha),
        "lora_target_modules": named,
        "use_rslora": peft_config.use_rslora,
        "use_dora": peft_config.use_dora,
    }


def quantization_settings(quantization_config: Any) -> dict[str, Any]:
    """The field of ours that a `BitsAndBytesConfig` means. Raises `ConfigError`."""
    if quantization_config is None:
        return {}
    if getattr(quantization_config, "load_in_8bit", False):
        return {"quantization": "int8"}
    kind = getattr(quantization_config, "bnb_4bit_quant_type", None)
    if getattr(quantization_config, "load_in_4bit", False) and kind == "nf4":
        return {"quantization": "nf4"}
    raise ConfigError(
        f"quantization_config={quantization_config!r:.200}: the workbench keeps frozen weights in "
        "nf4 (load_in_4bit=True, bnb_4bit_quant_type='nf4') or int8 (load_in_8bit=True)."
    )


def policy_for(
    model: Any, config: ours.GRPOConfig, tokenizer: Any, trust_remote_code: bool
) -> Policy:
    """The policy of a name or of a loaded model. Raises `PolicyError`, `ConfigError`."""
    if isinstance(model, str):
        policy = load_policy(model, config=config, trust_remote_code=trust_remote_code)
        if tokenizer is not None:
            _take_template(policy, tokenizer)
        return policy
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise ConfigError(
            f"model={model!r:.80} is a {type(model).__name__}: give the name of a model, a folder, "
            "'embedded', or a causal LM of transformers."
        )
    return _of_model(model, config, tokenizer)


def _of_model(model: Any, config: ours.GRPOConfig, tokenizer: Any) -> Policy:
    name = str(getattr(model, "name_or_path", "") or "the given model")
    if hasattr(model, "peft_config"):
        raise ConfigError(
            "model has an adapter already. Give the model without it, and peft_config; or the "
            "folder of a saved adapter as the model's name."
        )
    if tokenizer is None:
        raise ConfigError(
            f"processing_class is missing: give the tokenizer of {name!r} beside a loaded model."
        )
    if config.quantization != "none":
        raise ConfigError(
            "quantization_config is for a model by name: a loaded one is quantised as it is loaded."
        )
    check_template(tokenizer, name)
    check_vocabulary(tokenizer, rows_said_by(model.config), name)
    made = for_training(
        model,
        lora_of(config),
        seed=config.seed,
        source=name,
        autocast=False,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    eos = end_token_ids(made, tokenizer, name)
    padding = padding_id(made, tokenizer, eos)
    return Policy(made, tokenizer, name, eos, padding, config.gradient_checkpointing)


def _take_template(policy: Policy, tokenizer: Any) -> None:
    """The chat template of a tokenizer that was given beside the model's name."""
    if tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise ConfigError(
            f"processing_class has other tokens than those of {policy.source!r}. Load the model "
            "yourself, and give it to GRPOTrainer(model=...)."
        )
    if tokenizer.chat_template:
        check_template(tokenizer, policy.source)
        policy.tokenizer.chat_template = tokenizer.chat_template
