"""Writing a policy to disk: whole and in floating point, or its adapter alone."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch

from workbench.libraries.bitsandbytes_ import count_of, is_quantized
from workbench.libraries.hf_peft import (
    active_adapters,
    adapter_configs,
    adapter_tensors,
    adapts_tied_weights,
    is_of_adapter,
    merged_into,
    name_without_adapter,
    plain_model,
)
from workbench.libraries.hf_transformers import class_before_quantising, no_progress_bars
from workbench.policy.adapter import keeps_weights_transposed, remember_quantization
from workbench.policy.free_memory import available_bytes
from workbench.policy.policy import Policy, PolicyError
from workbench.policy.quantization import float_weight
from workbench.runs.whole_folder import as_os_errors

SHARD = "4GB"
"""Size of one file of weights: some versions of safetensors copy a file's tensors before they write
them."""
ROOM = 1.1
"""Memory and disk that a whole policy is given, in its own bytes."""


def save_policy(policy: Policy, folder: str | Path, *, adapter_only: bool = False) -> None:
    """Write the policy where `load_policy(folder)` finds it: safetensors and tokenizer files.

    With a LoRA adapter the merged model is written, in floating point also where the base is
    quantised (merging into 4 bits would round the adapter away); the policy in memory and its base
    weights stay as they are. `adapter_only` writes the adapter with the name of its base in its
    place: small, and the base is needed again. Raises `PolicyError` where there is no adapter to
    write, `OSError` where the disk refuses.
    """
    if adapter_only and not policy.has_adapter:
        raise PolicyError(
            f"adapter_only=True, but policy {policy.source!r} has no adapter. Save it whole."
        )
    with no_progress_bars(), as_os_errors():
        if adapter_only:
            policy.model.save_pretrained(
                folder, save_embedding_layers=False
            )  # 'auto' would ask the Hub about the base
            remember_quantization(Path(folder), policy.quantization)
            (Path(folder) / "README.md").write_text(_card(policy))
        elif policy.has_adapter:
            merged(policy).save_pretrained(folder, max_shard_size=SHARD)
        else:
            policy.model.save_pretrained(folder, max_shard_size=SHARD)
        policy.tokenizer.save_pretrained(folder)


def no_room_to_save(policy: Policy, folder: str | Path) -> str | None:
    """Why `save_policy(policy, folder)` would not fit into memory or onto the disk, in words; None
    where it fits.

    A merged policy is made in the CPU's memory, beside the one that was trained and dequantised: 15
    GB for 7 B parameters in 16 bits. Disk is asked of the first parent of `folder` that is there.
    """
    memory, place = (
        available_bytes(torch.device("cpu")),
        next(p for p in (Path(folder).absolute(), *Path(folder).absolute().parents) if p.exists()),
    )
    need = ROOM * whole_bytes(policy, twice_tied=True)
    if policy.has_adapter and memory is not None and need > memory:
        return f"merging takes {need / 1e9:.1f} GB of memory, {memory / 1e9:.1f} GB are free"
    untied = policy.has_adapter and adapts_tied_weights(policy.model)
    need = ROOM * whole_bytes(policy, twice_tied=untied)
    disk = shutil.disk_usage(place).free
    return (
        f"it takes {need / 1e9:.1f} GB of disk, {place} has {disk / 1e9:.1f} GB free"
        if need > disk
        else None
    )


def whole_bytes(policy: Policy, twice_tied: bool = False) -> int:
    """Bytes of the policy's weights as plain numbers, its adapter merged; with tied ones under each
    name (as while it is merged)."""
    base = plain_model(policy.model)
    total = 0
    for name, p in base.named_parameters(remove_duplicate=not twice_tied):
        if not is_of_adapter(name):
            dtype = policy.weight_dtype if is_quantized(p) else p.dtype
            total += count_of(p) * dtype.itemsize
    return total


def _card(policy: Policy) -> str:
    """What the folder of an adapter says of itself, in place of peft's empty form."""
    base = "" if policy.quantization == "none" else f", kept in {policy.quantization}"
    return (
        f"---\nlibrary_name: peft\n---\nA LoRA adapter for `{Path(policy.source).name}`{base}, "
        "trained with the GRPO workbench. Load it with "
        "`workbench.load_policy(FOLDER)`; adapter_config.json names the base and where it was.\n"
    )


def merged(policy: Policy) -> Any:
    """A plain model on the CPU whose weights are base plus adapter, each dequantised first. It
    takes memory of its own."""
    plain = float_base(plain_model(policy.model))
    (name,) = active_adapters(policy.model)
    config = copy.deepcopy(adapter_configs(policy.model)[name])
    config.fan_in_fan_out = keeps_weights_transposed(plain)
    return merged_into(plain, config, name, adapter_tensors(policy.model, name))


def float_base(base: Any) -> Any:
    """A copy of the model without its adapter layers and without quantisation, on the CPU."""
    dtype = base.get_input_embeddings().weight.dtype
    config = copy.deepcopy(base.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = _bare(type(base), config)
    weights, wanted = _plain_weights(base, dtype), plain.state_dict().keys()
    plain.load_state_dict(
        {name: w for name, w in weights.items() if name in wanted}, strict=True, assign=True
    )
    plain.tie_weights()
    plain.generation_config = base.generation_config
    return plain.to(dtype)


def _bare(kind: Any, config: Any) -> Any:
    """A model whose weights wait to be assigned."""
    with torch.device("meta"):
        return kind(config)


def _plain_weights(base: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights and buffers (the unsaved ones too) by the names that they have without peft, tied
    ones under each of their names."""
    from workbench.libraries.hf_transformers import Conv1D

    state = {}
    modules = dict(base.named_modules(remove_duplicate=False))
    for name, tensor in [
        *base.named_parameters(remove_duplicate=False),
        *base.named_buffers(remove_duplicate=False),
    ]:
        if is_of_adapter(name):
            continue
        module = modules[name.rpartition(".")[0]]
        weight = float_weight(module, tensor, dtype)
        clean = name_without_adapter(name)
        state[clean] = (
            weight.T.contiguous()
            if issubclass(class_before_quantising(module), Conv1D) and name.endswith("weight")
            else weight
        )
    return state
