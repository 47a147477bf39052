"""What a run's record says of its policy and task: what they are, not what the config asked for.

A policy that was loaded by hand may have another adapter, format or quantisation than the config
names, and a task of the same name other problems.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

from workbench.config import ConfigWarning, GRPOConfig
from workbench.policy.adapter import own_settings
from workbench.policy.dtype import NAMED
from workbench.policy.policy import Policy
from workbench.policy.quantization import KINDS
from workbench.tasks.digest import problems_digest
from workbench.tasks.types import Task


def as_it_is(policy: Policy, config: GRPOConfig) -> GRPOConfig:
    """The config with what it says of the policy as the policy is: adapter, quantisation, format,
    checkpointing. Warns where it named another number format."""
    changes = _adapter_fields(policy, config)
    changes["gradient_checkpointing"] = policy.gradient_checkpointing
    if policy.quantization in KINDS:
        changes["quantization"] = policy.quantization
    own_dtype = dtype_name(policy)
    if config.dtype not in ("auto", own_dtype):
        # "auto" where the config has no word for it, as for float64.
        changes["dtype"] = own_dtype if own_dtype in NAMED else "auto"
        warnings.warn(
            f"dtype={config.dtype!r}, but the policy was loaded in {own_dtype}: it is trained, and "
            f"recorded, as it is. load_policy({policy.source!r}, config=config) loads it in "
            f"{config.dtype}.",
            ConfigWarning,
            stacklevel=3,
        )
    differing = {name: value for name, value in changes.items() if getattr(config, name) != value}
    return config.replace(**differing) if differing else config


def _adapter_fields(policy: Policy, config: GRPOConfig) -> dict[str, Any]:
    """The fields of the config that say something else of the adapter than it is."""
    own = own_settings(policy.model)
    if not own:
        return {}
    if config.lora_rank == 0:
        return own
    # An open scale means twice the rank.
    scale = 2 * config.lora_rank if config.lora_alpha is None else config.lora_alpha
    if scale == own["lora_alpha"]:
        del own["lora_alpha"]
    # peft spells "all-linear" out, and a list of names has no order.
    asked = config.lora_target_modules
    if asked == "all-linear" or _names(asked) == _names(own["lora_target_modules"]):
        del own["lora_target_modules"]
    return own


def _names(targets: str) -> set[str]:
    return {name.strip() for name in targets.split(",")}


def dtype_name(policy: Policy) -> str:
    """The format of the weights, as the config writes it."""
    return str(policy.weight_dtype).removeprefix("torch.")


def facts_of(policy: Policy, task: Task) -> dict[str, Any]:
    """What served as policy and task, for the record."""
    trained = policy.trainable_parameters()
    return {
        "device": str(policy.device),
        "dtype": dtype_name(policy),
        "trained_dtype": str(trained[0].dtype).removeprefix("torch."),
        "trained_parameters": sum(parameter.numel() for parameter in trained),
        "quantization": policy.quantization,
        "chat_template": template_digest(policy),
        "problems": [len(task.train), len(task.held_out)],
        "problems_digest": problems_digest(task),
        "system_prompt": task.system_prompt,
    }


def template_digest(policy: Policy) -> str | None:
    """Tells one chat template from another; None where the policy has none."""
    template = policy.tokenizer.chat_template
    return hashlib.sha256(str(template).encode()).hexdigest() if template else None
