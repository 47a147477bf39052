"""What can be known of a policy before its weights are read: architecture, whole files, room in
memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from workbench.policy.free_memory import available_bytes
from workbench.policy.loading.locate import Place, json_file
from workbench.policy.policy import PolicyError

BITS = {"nf4": 4.5, "fp4": 4.5, "int8": 8.1}
"""Bits of a quantised weight with its share of the scales."""

PARTS = ("layer", "expert", "block", "head")
MAX_PARTS = 20_000
"""Layers, experts or heads that a config may name; the largest models have some hundreds."""


def check_architecture(config: Any, name: str, trust_remote_code: bool) -> None:
    """Raises `PolicyError` unless the config is that of a causal language model with a head."""
    from workbench.libraries.hf_transformers import causal_lm_classes

    own = list(config.architectures or [])
    says = f"policy {name!r} is {' / '.join(own) or type(config).__name__}"
    if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
        if not trust_remote_code:
            raise PolicyError(
                f"{says}, which brings code of its own. Read that code, then load with "
                "trust_remote_code=True."
            )
        return
    wanted = "GRPO needs a causal language model, such as a LlamaForCausalLM or Qwen2ForCausalLM"
    if getattr(config, "is_encoder_decoder", False):
        raise PolicyError(f"{says}, an encoder-decoder model. {wanted}.")
    classes = causal_lm_classes()
    if config.model_type not in classes:
        raise PolicyError(
            f"{says} (model type {config.model_type!r}), which cannot continue a text. {wanted}."
        )
    known = {name for names in classes.values() for name in names}
    if own and not known & set(own):
        raise PolicyError(
            f"{says}: it was saved without a language-model head, or with another one. {wanted}."
        )
    if getattr(config, "is_decoder", None) is False and own and "BertLMHeadModel" in own:
        raise PolicyError(f"{says}, an encoder: it sees the text on both sides. {wanted}.")


def check_files(place: Place) -> None:
    """Raises `PolicyError` for a local folder whose weights are missing, cut short or not
    safetensors. Reads headers only."""
    from safetensors import SafetensorError, safe_open

    if place.folder is None or place.is_gguf:
        return
    files = sorted(place.folder.glob("*.safetensors"))
    if not files:
        raise PolicyError(
            f"policy {place.name!r}: the folder holds no weights as safetensors. Save it again "
            "with model.save_pretrained(FOLDER)."
        )
    for path in files:
        try:
            with safe_open(path, "pt") as f:
                f.keys()
        except (SafetensorError, OSError) as e:
            raise PolicyError(
                f"policy {place.name!r}: {path.name} is damaged ({e}). Fetch or save it again."
            ) from e


def check_sizes(where: str, options: dict[str, Any], name: str) -> None:
    """Raises `PolicyError` for a config that has more parts than any model: already to make the
    config, and then the empty model, takes a step for each.

    The header of a .gguf file is not looked at: reading it is what takes the time there.
    """
    from transformers import PretrainedConfig

    if "gguf_file" in options:
        return
    if Path(where).is_dir():
        values = json_file(Path(where) / "config.json")
    else:
        values = PretrainedConfig.get_config_dict(where, **options)[0]
    for key, value in _counts(values):
        if value > MAX_PARTS:
            raise PolicyError(
                f"policy {name!r}: its config.json says {key}={value}, more than {MAX_PARTS}. No "
                "model has as many: fetch or save it again."
            )


def _counts(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What a config, or one within it, says of the number of layers, experts, blocks and heads."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _counts(value)
        counted = key.startswith(("n_", "num_")) and any(part in key for part in PARTS)
        if counted and type(value) in (int, float):
            yield key, value


def skeleton(config: Any) -> Any:
    """The model of `config` without any weights: the names and shapes of its layers, in no memory
    and little time."""
    from transformers import AutoModelForCausalLM

    from workbench.libraries.hf_transformers import making_a_model

    plain = copy.deepcopy(config)
    if hasattr(plain, "quantization_config"):
        del plain.quantization_config
    with torch.device("meta"), making_a_model():
        return AutoModelForCausalLM.from_config(plain)


def weight_bytes(bare: Any, dtype: torch.dtype, quantization: str) -> float:
    """Bytes of the weights of a skeleton; its linear layers, the head apart, may be quantised."""
    head = bare.get_output_embeddings()
    linear = sum(
        m.weight.numel()
        for m in bare.modules()
        if m is not head and type(m).__name__ in ("Linear", "Conv1D")
    )
    every = sum(p.numel() for p in bare.parameters())
    bits = BITS.get(quantization, 8 * dtype.itemsize)
    return float((every - linear) * dtype.itemsize + linear * bits / 8)


def check_memory(
    bare: Any, place: Place, dtype: torch.dtype, quantization: str, device: torch.device
) -> None:
    """Raises `PolicyError` when the weights alone are more than the free memory of `device`.
    Training needs more."""
    free, need = (
        available_bytes(device),
        weight_bytes(bare, dtype, "none" if place.is_gguf else quantization),
    )
    if free is not None and need > free:
        smaller = (
            "a smaller model"
            if quantization != "none"
            else "quantization='nf4' with lora=16, or a smaller model"
        )
        kind = "" if quantization == "none" else f"{quantization}, the rest "
        raise PolicyError(
            f"policy {place.name!r}: its weights take {need / 1e9:.1f} GB as "
            f"{kind}{str(dtype).removeprefix('torch.')}, {device} has "
            f"{free / 1e9:.1f} GB free. Use {smaller}, or free memory: session.free()."
        )


def check_nothing_missing(info: Any, name: str) -> None:
    """Raises `PolicyError` when some of the model's weights were not in the files, so that they are
    random numbers."""
    missing = sorted(
        {str(k) for k in (*info.get("missing_keys", ()), *info.get("mismatched_keys", ()))}
    )
    if missing:
        raise PolicyError(
            f"policy {name!r}: {len(missing)} of its weights are not in its files, first "
            f"{missing[0]!r}; they would be random "
            "numbers. Give a model that was saved whole, as a causal language model."
        )
