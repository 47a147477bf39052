"""LoRA adapters by peft: a fresh one from a rank or a config, a saved one, and whether its targets
exist."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.libraries.hf_peft import adapter_configs, layers_without_bias, quiet_peft
from workbench.libraries.torch_ import fork_rng
from workbench.policy.loading.locate import adapter_settings
from workbench.policy.policy import PolicyError

LoraLike = Any
"""A `peft.LoraConfig`, or a rank, or True for rank 16 on all linear layers; None, False and 0 mean
no adapter."""
DEFAULT_RANK = 16
BESIDE = "workbench.json"
"""A file beside a saved adapter, with what peft has no word for."""


def lora_config(lora: LoraLike, **options: Any) -> Any | None:
    """The `peft.LoraConfig` meant by `lora`, or None. `options` are further fields of it. Raises
    `PolicyError`."""
    if lora is None or lora is False or (isinstance(lora, int) and lora == 0):
        return None
    from peft import LoraConfig

    if isinstance(lora, LoraConfig):
        return lora
    if not isinstance(lora, int) or lora < 0:
        raise PolicyError(f"lora={lora!r}: give a rank such as 16, True, or a peft.LoraConfig.")
    rank = DEFAULT_RANK if lora is True else lora
    fields: dict[str, Any] = {
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }
    return LoraConfig(**(fields | options))


def layers_of(model: Any) -> dict[str, nn.Module]:
    """The layers that LoRA can adapt, by full name, the head included."""
    from workbench.libraries.hf_transformers import Conv1D

    return {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, (nn.Linear, nn.Embedding, Conv1D))
    }


def keeps_weights_transposed(model: Any) -> bool:
    """True for GPT-2's kind of layer, whose weight is (inputs, outputs); peft wants to be told."""
    from workbench.libraries.hf_transformers import Conv1D

    return any(isinstance(m, Conv1D) for m in model.modules())


def check_targets(model: Any, lora: Any) -> None:
    """Raises `PolicyError` naming the target that no layer has, and the layers that there are."""
    targets, names = lora.target_modules, list(layers_of(model))
    if targets is None or targets == "all-linear":
        return
    if isinstance(targets, str):  # a regular expression over full names, as in peft
        absent = [] if any(re.fullmatch(targets, name) for name in names) else [targets]
    else:
        absent = [
            t
            for t in sorted(targets)
            if not any(name == t or name.endswith("." + t) for name in names)
        ]
    if absent:
        endings = sorted({name.split(".")[-1] for name in names})
        raise PolicyError(
            "the LoRA adapter does not fit: this model has no layer "
            f"{', '.join(map(repr, absent))}. It has: {', '.join(endings)}."
        )


def with_adapter(model: Any, lora: Any, seed: int, source: str) -> Any:
    """`model` with a fresh adapter, drawn from `seed`; the adapter is float32, the base stands
    still. Raises `PolicyError`."""
    from peft import get_peft_model

    check_targets(model, lora)
    if getattr(lora, "layer_replication", None):
        raise PolicyError(
            f"layer_replication={lora.layer_replication!r} makes another model with layers in "
            "common, which cannot be saved whole. Leave it out."
        )
    lora.fan_in_fan_out = keeps_weights_transposed(model)
    with fork_rng(next(model.parameters()).device), quiet_peft():
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, lora)
        except (ValueError, TypeError) as e:
            raise PolicyError(f"the LoRA adapter does not fit: {e}") from e
    if bare := layers_without_bias(wrapped):
        raise PolicyError(
            f"lora_bias=True, but {len(bare)} of the layers have no bias that it could be merged "
            f"into, first {bare[0]!r}. Leave lora_bias out."
        )
    return _named(wrapped, source)


def saved_settings(folder: Path) -> dict[str, Any]:
    """A saved LoRA adapter in the words of `GRPOConfig`: its lora_rank, lora_alpha,
    lora_target_modules, use_rslora, use_dora.

    Raises `PolicyError` for an adapter of another type.
    """
    stored = adapter_settings(folder)
    if stored.get("peft_type") != "LORA":
        raise PolicyError(
            f"policy {str(folder)!r} is an adapter of type {stored.get('peft_type')}. Give a "
            "LoRA adapter."
        )
    for name in ("r", "lora_alpha"):
        if not isinstance(stored.get(name), (int, float)):
            raise PolicyError(
                f"policy {str(folder)!r}: its adapter_config.json says {name}="
                f"{stored.get(name)!r:.40}, wanted a number. Save the adapter again."
            )
    targets = stored.get("target_modules") or "all-linear"
    return {
        "lora_rank": stored["r"],
        "lora_alpha": float(stored["lora_alpha"]),
        "use_rslora": bool(stored.get("use_rslora")),
        "use_dora": bool(stored.get("use_dora")),
        "lora_target_modules": targets if isinstance(targets, str) else ",".join(sorted(targets)),
    }


def remember_quantization(folder: Path, kind: str) -> None:
    """Note beside a saved adapter how its base was kept while it was trained: on another base it is
    another policy."""
    (folder / BESIDE).write_text(json.dumps({"quantization": kind}) + "\n")


def stored_quantization(folder: Path) -> str:
    """How the base of a saved adapter was kept while it was trained; 'none' where nothing says
    so."""
    note = folder / BESIDE
    return (
        str(json.loads(note.read_text()).get("quantization", "none")) if note.is_file() else "none"
    )


def check_saved(folder: Path, name: str, asked: Mapping[str, Any]) -> None:
    """Raises `PolicyError` when a saved adapter is asked for by settings (fields of `GRPOConfig`)
    that are not its own."""
    own = saved_settings(folder)
    for field, value in asked.items():
        if _setting(value) != _setting(own[field]):
            raise PolicyError(
                f"policy {name!r} is a saved adapter, which keeps its own rank and targets: "
                f"asked for is {field}={value!r}, its own is "
                f"{own[field]!r}. Leave it out (--lora alone takes the adapter's), or give its own."
            )


def _setting(value: Any) -> Any:
    """Names of layers are the same in any order."""
    return {n.strip() for n in value.split(",")} if isinstance(value, str) else value


def with_saved_adapter(model: Any, folder: Path, source: str, trainable: bool = True) -> Any:
    """`model` with the adapter that lies in `folder`, to be trained further or only used. Raises
    `PolicyError`."""
    from peft import PeftModel

    try:
        with quiet_peft():
            return _named(
                PeftModel.from_pretrained(model, str(folder), is_trainable=trainable), source
            )
    except (ValueError, RuntimeError, KeyError) as e:
        raise PolicyError(
            f"the adapter in {str(folder)!r} does not fit its base model {source!r}: {e}"
        ) from e


def _named(wrapped: Any, source: str) -> Any:
    """So that a saved adapter names the base by the name that it was loaded by."""
    for config in adapter_configs(wrapped).values():
        config.base_model_name_or_path = source
    return wrapped
