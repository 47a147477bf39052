"""peft: which of a wrapped model's weights are the adapter's, what their names are without it, and
the model underneath.

Held against the installed version by `tests/libraries/test_hf_peft.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

ADAPTER_MARKS = ("lora_", ".modules_to_save.", ".trainable_tokens_")
"""What the name of an adapter's weight holds, and no other's."""
WRAPPINGS = (".token_adapter.base_layer.", ".base_layer.", ".original_module.")
"""What peft puts into the name of a weight that lies under an adapter."""


def has_adapter(model: Any) -> bool:
    """True for a model in a PEFT wrapper."""
    return hasattr(model, "peft_config")


def adapter_configs(model: Any) -> dict[str, Any]:
    """The PEFT config of each adapter, by its name; empty for a model without one."""
    return dict(getattr(model, "peft_config", {}))


def active_adapters(model: Any) -> list[str]:
    """The names of the adapters that the forward goes through."""
    return list(model.active_adapters)


def plain_model(model: Any) -> Any:
    """The transformers model under a PEFT wrapper (its adapter layers stay active), or the model
    itself.

    Raises ValueError for PEFT's prompt learning, whose virtual tokens only the wrapper adds.
    """
    if not has_adapter(model):
        return model
    learned = [name for name, c in adapter_configs(model).items() if c.is_prompt_learning]
    if learned:
        raise ValueError(
            f"adapter {learned[0]!r} is prompt learning, which the rollout does not serve. "
            "Use LoRA."
        )
    return model.get_base_model()


def is_of_adapter(name: str) -> bool:
    """Whether a weight of that name belongs to an adapter."""
    return any(mark in name for mark in ADAPTER_MARKS)


def name_without_adapter(name: str) -> str:
    """The name that a weight of the base has in a model without an adapter."""
    for wrapping in WRAPPINGS:
        name = name.replace(wrapping, ".")
    return name


def starts_at_zero(name: str) -> bool:
    """Whether that weight of a fresh LoRA adapter is 0, so that the adapter does nothing yet."""
    return "lora_B" in name


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without two warnings that a user can do nothing about: that peft asks transformers by a name
    which is to go, and that tied layers are hard to merge (`merged_into` unties them)."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*gradient_checkpointing.*deprecated", category=FutureWarning
        )
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*", category=UserWarning)
        yield


def adapter_tensors(model: Any, adapter: str) -> dict[str, Tensor]:
    """The weights of one adapter, by the names of a saved one. Nothing is looked up on the Hub."""
    from peft import get_peft_model_state_dict

    # "auto", the default of save_embedding_layers, would ask the Hub about the base.
    state: dict[str, Tensor] = get_peft_model_state_dict(
        model, adapter_name=adapter, save_embedding_layers=False
    )
    return state


def layers_without_bias(model: Any) -> list[str]:
    """The layers whose adapter has a bias while they have none themselves (`lora_bias`): no merged
    model can hold it."""
    from peft.tuners.lora import LoraLayer

    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, LoraLayer)
        and any(layer.lora_bias.values())
        and getattr(layer.get_base_layer(), "bias", None) is None
    ]


def merged_into(plain: Any, config: Any, adapter: str, tensors: dict[str, Tensor]) -> Any:
    """`plain` with these weights of an adapter added to its own.

    Where head and embedding share their weights and the adapter changes one of them, or each in its
    own way, they are two weights afterwards, and the config says so.
    """
    from peft import PeftModel, set_peft_model_state_dict

    was_tied = is_tied(plain)
    # The adapter's weights follow. Some ways to begin (PiSSA) would change the base once more.
    config.init_lora_weights = True
    with quiet_peft():
        wrapped = PeftModel(plain, config, adapter_name=adapter)
        set_peft_model_state_dict(wrapped, tensors, adapter_name=adapter)
        # Only now: what peft builds follows from what is tied.
        _give_each_its_own(wrapped)
        merged = wrapped.merge_and_unload()
    if was_tied and torch.equal(_head_weight(merged), merged.get_input_embeddings().weight):
        merged.config.tie_word_embeddings = True
        merged.tie_weights()
    return merged


def is_tied(model: Any) -> bool:
    """Whether the head of a transformers model has the embedding's weights."""
    return bool(model.config.get_text_config(decoder=True).tie_word_embeddings)


def adapts_tied_weights(model: Any) -> bool:
    """Whether the adapter changes a head or an embedding that have their weights in common."""
    base = plain_model(model)
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    names = [f".{name}" for end in ends for name, _ in end.named_parameters()]
    return is_tied(base) and any(is_of_adapter(name) for name in names)


def _head_weight(model: Any) -> Tensor:
    weight: Tensor = model.get_output_embeddings().weight
    return weight


def _give_each_its_own(model: Any) -> None:
    """A copy for each further layer that uses a weight of another one."""
    seen: set[int] = set()
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in seen:
                own = nn.Parameter(weight.detach().clone(), requires_grad=False)
                module.register_parameter(name, own)
            seen.add(id(weight))
