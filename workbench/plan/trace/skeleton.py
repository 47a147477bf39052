"""The policy as training would hold it, on the meta device: right formats, adapter, quantised
layers, and no memory.

Parameter counts and bytes are read off it, and `trace` runs its forward and backward. Any
architecture that transformers can build will do.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from workbench.config import GRPOConfig
from workbench.libraries.hf_peft import is_of_adapter
from workbench.libraries.hf_transformers import checkpoint_activations, making_a_model
from workbench.plan.devices import Device
from workbench.plan.shapes import Shape
from workbench.plan.trace.allocations import storage_bytes
from workbench.plan.trace.attention import use_fused_attention
from workbench.plan.trace.quantized import SINGLE, QuantizedLinear, quantize
from workbench.policy.adapter import with_adapter
from workbench.policy.for_config import lora_of
from workbench.policy.head import plan_for

Found = TypeVar("Found")


@dataclass(frozen=True)
class Skeleton:
    """A policy on the meta device."""

    model: Any
    """The model, with an adapter around it where one is trained."""
    dtype: torch.dtype
    """The format of its unquantised weights."""
    body: int
    """Multiplying parameters (2 operations a token each) of the layers ..."""
    head: int
    """... and of the output head."""
    weights: int
    """Bytes of the base's weights ..."""
    constants: int
    """... of the scales of quantised ones ..."""
    adapter: int
    """... and of the adapter."""
    trained: list[Tensor]
    """The parameters that the optimizer moves."""
    autocast: bool
    """Whether its float32 weights are multiplied in bfloat16."""
    source: str = ""
    """The name of the shape."""
    file_itemsize: int = 2
    """Bytes of a weight in the model's file, as its config says; 2 where it does not."""
    followed: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    """What was found by running it, by what was run."""

    def once(self, run: Hashable, follow: Callable[[], Found]) -> Found:
        """What `follow` finds, which is run the first time only. `run` says all it depends on."""
        if run not in self.followed:
            self.followed[run] = follow()
        found: Found = self.followed[run]
        return found

    @property
    def known(self) -> list[Tensor]:
        """What stands in memory all the time."""
        return [*self.model.parameters(), *self.model.buffers()]

    @property
    def weights_in_floating_point(self) -> int:
        """Bytes of the base's weights if none were quantised, as another engine would hold them."""
        quantised = [m for m in self.model.modules() if isinstance(m, QuantizedLinear)]
        return self.weights + sum(
            m.out_features * m.in_features * self.dtype.itemsize - m.weight.numel()
            for m in quantised
        )

    @property
    def numbers(self) -> int:
        """Weights of the base; a quantised one counts for each number that it stands for."""
        return self.weights_in_floating_point // self.dtype.itemsize

    @property
    def plain_config(self) -> Any:
        """The text model's config."""
        return self.model.config.get_text_config(decoder=True)


def dtype_for(config: GRPOConfig, device: Device, *, frozen: bool | None = None) -> torch.dtype:
    """The weights' format; the rule of `workbench.policy.dtype`, for a device that need not be
    here. frozen: whether they stand still; None = as the config trains them."""
    if frozen is None:
        frozen = config.lora_rank > 0
    if config.dtype != "auto":
        named: torch.dtype = getattr(torch, config.dtype)
        return named
    if device.kind != "cuda" or not frozen:
        return torch.float32
    return torch.bfloat16 if device.has_bfloat16 else torch.float16


def computes_in_bfloat16(config: GRPOConfig, device: Device) -> bool:
    """True where float32 weights are trained under autocast; as `wants_autocast`."""
    return (
        config.dtype == "auto"
        and config.lora_rank == 0
        and device.kind == "cuda"
        and device.has_bfloat16
    )


@dataclass(frozen=True)
class Blueprint:
    """All that a skeleton is built by: two configs that agree in it share one."""

    shape: Shape = field(compare=False)
    model: str
    """What makes `shape` another one: its name, class and config as text."""
    dtype: torch.dtype
    adapter: Any = field(compare=False)
    """peft's settings; None = all weights are trained ..."""
    adapter_words: str
    """... and the same as text."""
    quantized: str | None
    skipped: tuple[str, ...]
    autocast: bool
    checkpointed: bool
    device_kind: str


def blueprint(shape: Shape, config: GRPOConfig, device: Device) -> Blueprint:
    """How the policy of `shape` is built where `config` trains it on `device`."""
    adapter = lora_of(config) if config.lora_rank > 0 else None
    quantized, skipped = quantized_as(shape, config)
    said = shape.config.to_json_string(use_diff=False)
    return Blueprint(
        shape=shape,
        model=f"{shape.name} {type(shape.config).__qualname__} {said}",
        dtype=dtype_for(config, device),
        adapter=adapter,
        adapter_words="" if adapter is None else repr(sorted(adapter.to_dict().items())),
        quantized=quantized,
        skipped=skipped,
        autocast=computes_in_bfloat16(config, device),
        checkpointed=config.gradient_checkpointing,
        device_kind=device.kind,
    )


def skeleton(shape: Shape, config: GRPOConfig, device: Device) -> Skeleton:
    """The policy of `shape` as `config` would train it on `device`. Raises what transformers raises
    for a config it cannot build."""
    return built(blueprint(shape, config, device))


def built(by: Blueprint) -> Skeleton:
    """The skeleton of a blueprint. It is given nothing else, so that no setting that matters can be
    missing from the blueprint."""
    from transformers import AutoModelForCausalLM

    shape = by.shape
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with making_a_model():
            model: Any = AutoModelForCausalLM.from_config(
                copy.deepcopy(shape.config), dtype=by.dtype
            )
        model.requires_grad_(by.adapter is None)
        head = model.get_output_embeddings()
        named = {n: m for n, m in model.named_modules() if is_linear(m) and m is not head}
        linear = list(named.values())
        body, width = sum(m.weight.numel() for m in linear), head.weight.numel()
        if by.adapter is not None:
            model = with_adapter(model, by.adapter, 0, shape.name)
    if by.quantized is not None:
        chosen = {id(m) for n, m in named.items() if not _is_skipped(n, by.skipped)}
        quantize(model, chosen, by.quantized)
    model.eval()
    plan_for(model, by.device_kind, torch.bfloat16 if by.autocast else None)
    use_fused_attention(model)
    if by.checkpointed:
        checkpoint_activations(model)
    base = [t for n, t in _tensors(model) if not n.endswith("scales") and not is_of_adapter(n)]
    return Skeleton(
        model=model,
        dtype=by.dtype,
        body=body,
        head=width,
        weights=storage_bytes(base),
        constants=storage_bytes(t for n, t in _tensors(model) if n.endswith("scales")),
        adapter=storage_bytes(t for n, t in _tensors(model) if is_of_adapter(n)),
        trained=[p for p in model.parameters() if p.requires_grad],
        autocast=by.autocast,
        source=shape.name,
        file_itemsize=getattr(getattr(shape.config, "dtype", None), "itemsize", 2),
    )


def quantized_as(shape: Shape, config: GRPOConfig) -> tuple[str | None, tuple[str, ...]]:
    """The kind in which the frozen base is held, "nf4", "int8" or "nf4, scales in float32", and the
    layers left out; None = not quantised."""
    if shape.stored is None:
        return (None if config.quantization == "none" else config.quantization), ()
    four = "nf4" if shape.stored.nested else SINGLE
    return "int8" if shape.stored.kind == "int8" else four, shape.stored.skipped


def _is_skipped(name: str, patterns: tuple[str, ...]) -> bool:
    """As transformers chooses: a whole name, the beginning of one, or its end."""
    return any(name == p or name.startswith(p + ".") or name.endswith("." + p) for p in patterns)


def is_linear(module: nn.Module) -> bool:
    """A layer that multiplies by a weight matrix, and that may be quantised."""
    from workbench.libraries.hf_transformers import Conv1D

    return type(module) is nn.Linear or isinstance(module, Conv1D)


def _tensors(model: Any) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]
