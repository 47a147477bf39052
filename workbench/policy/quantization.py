"""Frozen weights in 4 or 8 bits by bitsandbytes, on a GPU and on a CPU.

NF4 with double quantisation: QLoRA, arXiv 2305.14314. 8 bits: LLM.int8(), arXiv 2208.07339.

bitsandbytes 0.50 does two things on a CPU that a policy must not do. In evaluation mode it packs
the 4-bit weights anew, in place, with scales rounded to bfloat16, so the base would drift and the
sampler differ from the trainer; and it multiplies 8-bit weights in integers while sampling, with
outliers chosen by what else is in the batch, but in floats while training. `keep_from_changing`
switches both off: one forward, the same in both modes, and a base that no call changes. On a GPU
8-bit arithmetic is the library's own: a row's logits depend a little on its batch, which the
sampler's gauge shows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workbench.libraries.bitsandbytes_ import (
    compute_four_bits_in,
    is_quantized,
    plain_numbers,
    quantized_layer,
    silence_slow_kernel,
)
from workbench.policy.policy import PolicyError

KINDS = ("none", "nf4", "int8")


silence_slow_kernel()


def check_quantization(quantization: str | None, trains_all: bool) -> str:
    """The kind asked for. Raises `PolicyError` for an unknown one, one without an adapter, and a
    missing bitsandbytes."""
    kind = quantization or "none"
    if kind not in KINDS:
        raise PolicyError(
            f"quantization={quantization!r} is unknown. Use one of {', '.join(KINDS)}."
        )
    if kind == "none":
        return kind
    if trains_all:
        raise PolicyError(
            f"quantization={kind!r} without an adapter: quantised weights stand still, so there "
            "would be nothing to train. Add "
            "lora=16 (--lora), or use quantization='none'; for sampling and evaluation alone, "
            "load_policy(..., trainable=False)."
        )
    need_bitsandbytes(f"quantization={kind!r}")
    return kind


def need_bitsandbytes(what: str) -> None:
    """Raises `PolicyError` when bitsandbytes is missing."""
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise PolicyError(f"{what} needs the package bitsandbytes. Run: pip install bitsandbytes")


def stored_kind(config: Any) -> str:
    """How a model's files are quantised, by its config: 'none', 'nf4', 'fp4', 'int8', or the name
    of another method ('gptq')."""
    stored = getattr(config, "quantization_config", None)
    if stored is None:
        return "none"
    says = stored if isinstance(stored, dict) else stored.to_dict()
    if says.get("load_in_8bit"):
        return "int8"
    return (
        says.get("bnb_4bit_quant_type", "fp4")
        if says.get("load_in_4bit")
        else str(says.get("quant_method"))
    )


def compute_in(model: Any, dtype: torch.dtype) -> None:
    """Give a model whose files were quantised the format `dtype`: transformers leaves its other
    weights, and the format in which its 4-bit layers compute, as whoever stored it had them (mostly
    bfloat16, which a T4 has not)."""
    compute_four_bits_in(model, dtype)
    stored = model.get_input_embeddings().weight.dtype
    for p in model.parameters():
        # Quantised weights are of classes of their own, and weights that transformers keeps in
        # float32 stay so.
        if not is_quantized(p) and p.dtype == stored:
            p.data = p.data.to(dtype)
    model.config.dtype = dtype


def loading_config(kind: str, compute: torch.dtype) -> Any:
    """The `quantization_config` with which transformers quantises while it reads."""
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def quantize(model: Any, kind: str, compute: torch.dtype) -> None:
    """Quantise the linear layers of a model in memory (one read from a .gguf file, which
    transformers cannot quantise while reading), the same ones and to the same numbers as
    `loading_config` would. The head stays as it is."""
    from workbench.libraries.hf_transformers import Conv1D

    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        transposed = isinstance(module, Conv1D)
        if module is head or not (transposed or type(module) is nn.Linear):
            continue
        weight: Any = module.weight
        numbers = weight.data.T.contiguous() if transposed else weight.data
        bias: Any = module.bias
        model.set_submodule(name, quantized_layer(numbers, bias, kind, compute))
    model.is_loaded_in_4bit = kind == "nf4"
    model.is_loaded_in_8bit = kind == "int8"
    model.is_quantized = True


def float_weight(module: Any, parameter: Any, dtype: torch.dtype) -> Tensor:
    """A copy of a parameter of `module` as plain numbers of `dtype` on the CPU, dequantised where
    it is quantised."""
    numbers = plain_numbers(module, parameter)
    return numbers.to("cpu", dtype if numbers.is_floating_point() else numbers.dtype, copy=True)
