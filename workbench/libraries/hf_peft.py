"""peft: which of a wrapped model's weights are the adapter's, what their names are without it, and
the model underneath.

Held against the installed version by `tests/libraries/test_hf_peft.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

ADAPTER_MARKS = ("lora_", ".modules_to_save.")
"""What the name of an adapter's weight holds, and no other's."""
WRAPPINGS = (".base_layer.", ".original_module.")
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
    """Without the warning that peft asks transformers by a name which is to go: nothing that a user
    of either can mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*gradient_checkpointing.*deprecated", category=FutureWarning
        )
        yield


def adapter_tensors(model: Any, adapter: str) -> dict[str, Tensor]:
    """The weights of one adapter, by the names of a saved one. Nothing is looked up on the Hub."""
    from peft import get_peft_model_state_dict

    # "auto", the default of save_embedding_layers, would ask the Hub about the base.
    state: dict[str, Tensor] = get_peft_model_state_dict(
        model, adapter_name=adapter, save_embedding_layers=False
    )
    return state


def merged_into(plain: Any, config: Any, adapter: str, tensors: dict[str, Tensor]) -> Any:
    """`plain` with these weights of an adapter added to its own."""
    from peft import PeftModel, set_peft_model_state_dict

    with quiet_peft():
        wrapped = PeftModel(plain, config, adapter_name=adapter)
    set_peft_model_state_dict(wrapped, tensors, adapter_name=adapter)
    return wrapped.merge_and_unload()
