"""transformers: the cache argument of a forward, the kind of its attention, and which models a
cache of ours can serve.

Held against 5.4 and 5.24 by `tests/libraries/test_hf_transformers.py`.
"""

from __future__ import annotations

import copy
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer
from transformers.pytorch_utils import Conv1D

from workbench.libraries.hf_peft import plain_model

__all__ = [
    "AttentionFor",
    "Cache",
    "Conv1D",
    "DynamicLayer",
    "as_in_a_checkpoint",
    "attention_of",
    "cache_argument",
    "cache_of",
    "causal_lm_classes",
    "checkpoint_activations",
    "class_before_quantising",
    "forward_with_cache",
    "is_stateful",
    "making_a_model",
    "mask_as_attended",
    "no_progress_bars",
    "odd_options",
    "takes_own_mask",
    "unsupported_reason",
    "use_attention",
]

CACHE_ARGUMENTS = ("cache", "past_key_values")
"""How a model's forward calls the cache that it is given, the newest name first: `past_key_values`
became `cache` in 5.24, and goes in 5.40. The output names it alike."""


def cache_argument(model: Any) -> str | None:
    """The name under which the forward of `model` takes a cache, or None where it takes none."""
    parameters = _forward_parameters(model)
    return next((name for name in CACHE_ARGUMENTS if name in parameters), None)


def _forward_parameters(model: Any) -> frozenset[str]:
    """The names of what the forward of `model` takes. Asked at every token, so that a class's is
    looked up once; one that was set on the model itself is not kept, or the model would be."""
    function = getattr(model.forward, "__func__", None)
    return _parameters_of(model.forward) if function is None else _known_parameters_of(function)


def _parameters_of(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


_known_parameters_of = functools.lru_cache(maxsize=64)(_parameters_of)


def forward_with_cache(model: Any, cache: Cache | None, **inputs: Any) -> Any:
    """The model's output for `inputs`, written into `cache` (None: into a new one, see `cache_of`).

    Raises TypeError where the forward takes no cache; `unsupported_reason` says so beforehand.
    """
    name = cache_argument(model)
    if name is None:
        raise TypeError(f"{type(model).__name__}.forward takes none of {CACHE_ARGUMENTS}.")
    return model(**inputs, **{name: cache}, use_cache=True, return_dict=True)


def cache_of(output: Any) -> Cache:
    """The cache that a forward gave back."""
    cache: Cache = next(output[name] for name in CACHE_ARGUMENTS if name in output)
    return cache


def unsupported_reason(model: Any) -> str | None:
    """Why a cache of ours cannot serve `model`, as a clause, or None where it can.

    The test is transformers' own: the cache that `DynamicCache` would build for the config must
    hold plain full attention layers only, and the forward must take positions, a mask and a cache.
    """
    model = plain_model(model)
    config, name = model.config, type(model).__name__
    parameters = _forward_parameters(model)
    missing = [
        p for p in ("input_ids", "attention_mask", "position_ids") if p not in parameters
    ] + ([] if cache_argument(model) else [" or ".join(CACHE_ARGUMENTS)])
    rules = [
        (config.is_encoder_decoder, "is an encoder-decoder model"),
        (getattr(config, "add_cross_attention", False), "has cross-attention"),
        (is_stateful(model), "keeps a recurrent state instead of a key-value cache"),
        (config.get_text_config(decoder=True) is not config, "takes more than text"),
        (
            getattr(config, "alibi", False),
            "uses ALiBi, which derives positions from a mask of its own",
        ),
        (missing, f"has a forward without {', '.join(missing)}"),
    ]
    found = [reason for applies, reason in rules if applies] or _odd_layers(config)
    return f"{name} {found[0]}" if found else None


def _odd_layers(config: Any) -> list[str]:
    """The reason why the layers of the standard cache are not all plain full attention, where they
    are not."""
    layers = DynamicCache(config=config).layers
    odd = sorted({type(layer).__name__ for layer in layers if type(layer) is not DynamicLayer})
    if not odd and len(layers) == config.num_hidden_layers:
        return []
    kinds = sorted(set(getattr(config, "layer_types", None) or ["sliding_attention"]))
    caches = ", ".join(odd) or "none for some layers"
    return [
        f"has layers other than full attention (layer types: {', '.join(kinds)}; caches: {caches})"
    ]


def is_stateful(model: Any) -> bool:
    """True for recurrent models, which keep a state in place of keys and values."""
    return bool(getattr(model, "_is_stateful", False))


def attention_of(model: Any) -> str:
    """The kind of attention that the model computes with: "sdpa", "eager", ..."""
    return str(model.config._attn_implementation)


def takes_own_mask(model: Any) -> bool:
    """True where a 4D mask of our own making reaches the attention as it is (a model that
    transformers itself can compile)."""
    compiles = getattr(model, "_can_compile_fullgraph", False)
    return bool(compiles) and attention_of(model) in ("sdpa", "eager")


def mask_as_attended(model: Any, visible: Tensor) -> Tensor:
    """A 4D mask (True: seen) in the form that the attention of `model` works on: bool for sdpa, for
    eager a summand of the scores, 0 or the lowest number of the weights' format. See
    `takes_own_mask`."""
    if attention_of(model) == "sdpa":
        return visible
    dtype = model.get_input_embeddings().weight.dtype
    hidden = torch.finfo(dtype).min
    return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, hidden)


def use_attention(model: nn.Module, name: str, function: Callable[..., Any]) -> None:
    """Let the layers of `model` compute attention with `function`, registered as `name`.

    The outermost model keeps its config, so that what is asked of it (`takes_own_mask`) is answered
    as before.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(name, function)
    inner = _config_with_attention(model, name)
    for module in _inner_modules(model):
        module.config = inner


class AttentionFor(AbstractContextManager[None]):
    """Inside `with`, the layers of a model compute attention with a function of ours where it
    answers, and with transformers' sdpa where it gives None. The outermost model keeps its
    config, as in `use_attention`; masks are made as sdpa's. Layers that are computed anew in the
    backward pass (`checkpoint_activations`) find it there again."""

    def __init__(self, model: nn.Module, name: str, function: Callable[..., Tensor | None]) -> None:
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        sdpa = ALL_ATTENTION_FUNCTIONS["sdpa"]

        def attention(
            module: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
        ) -> Any:
            own = function(query, key, value, options)
            return sdpa(module, query, key, value, *rest, **options) if own is None else (own, None)

        ALL_ATTENTION_FUNCTIONS.register(name, attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
        self._inner = _config_with_attention(model, name)
        self._before = [(module, module.config) for module in _inner_modules(model)]

    def __enter__(self) -> None:
        self._outer = _in_force.get()
        _in_force.set(self)
        for module, _ in self._before:
            module.config = self._inner

    def __exit__(self, *_: object) -> None:
        _in_force.set(self._outer)
        for module, own in self._before:
            module.config = own


ODD_OPTIONS = ("softcap", "s_aux", "position_bias", "sliding_window")


def odd_options(options: Mapping[str, Any]) -> list[str]:
    """The names of what a layer asks of attention beside the plain product: some families do."""
    return [name for name in ODD_OPTIONS if options.get(name) is not None]


_in_force: ContextVar[AttentionFor | None] = ContextVar("attention", default=None)
"""The attention of ours that a forward going on now was given."""


def _as_in_the_forward() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For torch's checkpointing: what surrounds a layer's forward, and its forward once more in the
    backward pass, when the attention of ours is no longer in force."""
    return nullcontext(), _in_force.get() or nullcontext()


def _config_with_attention(model: Any, name: str) -> Any:
    config: Any = copy.deepcopy(model.config)
    config._attn_implementation_internal = name
    return config


def _inner_modules(model: Any) -> list[Any]:
    kind = type(model.config)
    return [
        module
        for module in model.modules()
        if module is not model and type(getattr(module, "config", None)) is kind
    ]


def checkpoint_activations(model: Any) -> None:
    """Let the layers of `model` compute their activations twice instead of keeping them; in
    training mode alone, as transformers has it, so that mode is set."""
    # Renamed in 5.2x, where the old name warns.
    renamed = hasattr(model, "activation_checkpointing_enable")
    if renamed:
        enable = model.activation_checkpointing_enable
    else:
        enable = model.gradient_checkpointing_enable
    enable({"use_reentrant": False, "context_fn": _as_in_the_forward})
    model.train()


def class_before_quantising(module: Any) -> type:
    """The class of the layer that a quantised one was made from while a checkpoint was read;
    `object` where it was not."""
    found: type = getattr(module, "source_cls", object)
    return found


def as_in_a_checkpoint(model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names and in the shapes of a checkpoint, where transformers holds them in
    others (the experts of a mixture in one tensor, say)."""
    from transformers.core_model_loading import revert_weight_conversion

    found: dict[str, Tensor] = revert_weight_conversion(model, tensors)
    return found


def causal_lm_classes() -> dict[str, tuple[str, ...]]:
    """Model type -> the names of its classes that continue a text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return {
        kind: (names,) if isinstance(names, str) else tuple(names)
        for kind, names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()
    }


_making = threading.RLock()


@contextmanager
def making_a_model() -> Iterator[None]:
    """Inside, no other thread makes a model. While transformers reads or builds one it replaces
    `tie_weights` and torch's init functions for the whole process, and the default dtype: two
    threads at once put each other's replacements back, and from then on every model in the process
    is read without its tied head."""
    with _making:
        yield


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Inside, transformers draws no bars: nothing is downloaded."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
