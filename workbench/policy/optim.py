"""The optimizer of a run, by its name in the config, and its state as named tensors for a
checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from workbench.config import GRPOConfig
from workbench.policy.quantization import need_bitsandbytes


def make_optimizer(parameters: Sequence[nn.Parameter], config: GRPOConfig) -> torch.optim.Optimizer:
    """AdamW, or AdamW with its moments in 8 bits, block by block of 256 (arXiv 2110.02861;
    bitsandbytes, which leaves parameters of fewer than 4,096 numbers in 32 bits). Raises
    `PolicyError` where bitsandbytes is missing."""
    options: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.adam_beta1, config.adam_beta2),
    }
    if config.optim == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **options)
    need_bitsandbytes("optim='adamw_8bit'")
    adamw_8bit: Any = import_module("bitsandbytes.optim").AdamW8bit  # it has no types
    optimizer: torch.optim.Optimizer = adamw_8bit(
        parameters, weight_decay=config.weight_decay, **options
    )
    return optimizer


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as flat names, `INDEX.KEY` -> tensor. What all parameters share (the
    code book of 8-bit moments) is copied, since a file of tensors cannot hold one twice."""
    tensors = {}
    for i, p in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(p, {}).items():
            tensors[f"{i}.{key}"] = (
                torch.as_tensor(value).clone() if key.startswith("qmap") else torch.as_tensor(value)
            )
    return tensors


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the state back; an optimizer that had made no step has none."""
    state: dict[int, dict[str, Any]] = {}
    in_bits = not isinstance(optimizer, torch.optim.AdamW)
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        # bitsandbytes counts its steps in a plain number, torch in a tensor.
        state.setdefault(int(index), {})[key] = int(value) if in_bits and key == "step" else value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
