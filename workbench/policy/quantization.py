"""Frozen weights in 4 or 8 bits by bitsandbytes, on a GPU and on a CPU.

NF4 with double quantisation: QLoRA, arXiv 2305.14314. 8 bits: LLM.int8(), arXiv 2208.07339.

bitsandbytes 0.50 does two things on a CPU that a policy must not do. In evaluation mode it packs
the 4-bit weights anew, in place, with scales rounded to bfloat16, so the base would drift and the
sampler differ from the trainer; and it multiplies 8-bit weights in integers while sampling, with
outliers chosen by what else is in the batch, but in floats while training. `steady` switches both
off: one forward, the same in both modes, and a base that no call changes. On a GPU 8-bit arithmetic
is the library's own: a row's logits depend a little on its batch, which the sampler's gauge shows.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from workbench.libraries.bitsandbytes_ import plain_numbers
from workbench.policy.policy import PolicyError

KINDS = ("none", "nf4", "int8")


def quiet_bitsandbytes() -> None:
    """On a CPU it warns, when peft imports it, that a faster kernel is not installed: one that
    `steady` switches off."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


quiet_bitsandbytes()


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
            f"quantization={kind!r} without an adapter: quantised weights stand still, so there would be nothing to train. Add "
            "lora=16 (--lora), or use quantization='none'; for sampling and evaluation alone, load_policy(..., trainable=False)."
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
    import bitsandbytes as bnb

    stored = model.get_input_embeddings().weight.dtype
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            packed: Any = module.weight
            module.compute_dtype, module.compute_type_is_set, packed.quant_state.dtype = (
                dtype,
                True,
                dtype,
            )
        for p in module.parameters(recurse=False):
            if (
                type(p) is nn.Parameter and p.dtype == stored
            ):  # weights that transformers keeps in float32 stay so
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
        if module is not head and (type(module) is nn.Linear or isinstance(module, Conv1D)):
            model.set_submodule(
                name, _quantized_layer(module, isinstance(module, Conv1D), kind, compute)
            )
    model.is_loaded_in_4bit, model.is_loaded_in_8bit, model.is_quantized = (
        kind == "nf4",
        kind == "int8",
        True,
    )


def _quantized_layer(layer: Any, transposed: bool, kind: str, compute: torch.dtype) -> nn.Module:
    import bitsandbytes as bnb

    weight = layer.weight.data.T.contiguous() if transposed else layer.weight.data
    outputs, inputs = weight.shape
    made: Any
    stored: Any
    if kind == "nf4":
        made = bnb.nn.Linear4bit(
            inputs,
            outputs,
            layer.bias is not None,
            compute,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        stored = bnb.nn.Params4bit(
            weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
        )
    else:
        made = bnb.nn.Linear8bitLt(
            inputs,
            outputs,
            layer.bias is not None,
            has_fp16_weights=False,
            threshold=6.0,
            device="meta",
        )
        stored = bnb.nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False)
    made.weight = stored.to(weight.device)  # this quantises
    made.bias = layer.bias
    return made.requires_grad_(False)


def steady(model: Any) -> None:
    """Make the quantised layers compute alike in training and in evaluation, and leave their
    weights alone (CPU)."""
    import bitsandbytes as bnb

    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
        elif isinstance(module, bnb.nn.Linear8bitLt) and module.weight.device.type == "cpu":
            module.register_forward_pre_hook(_as_in_training)


def _as_in_training(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    module.training = True


def float_weight(module: Any, parameter: Any, dtype: torch.dtype) -> Tensor:
    """A copy of a parameter of `module` as plain numbers of `dtype` on the CPU, dequantised where
    it is quantised."""
    numbers = plain_numbers(module, parameter)
    return numbers.to("cpu", dtype if numbers.is_floating_point() else numbers.dtype, copy=True)
