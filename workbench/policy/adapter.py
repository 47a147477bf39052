"""LoRA adapters by peft: a fresh one from a rank or a config, a saved one, and whether its targets exist."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.policy.policy import PolicyError

LoraLike = Any
"""A `peft.LoraConfig`, or a rank, or True for rank 16 on all linear layers; None, False and 0 mean no adapter."""
DEFAULT_RANK = 16


def lora_config(lora: LoraLike, **options: Any) -> Any | None:
    """The `peft.LoraConfig` meant by `lora`, or None. `options` are further fields of it. Raises `PolicyError`."""
    if lora is None or lora is False or (isinstance(lora, int) and lora == 0):
        return None
    from peft import LoraConfig

    if isinstance(lora, LoraConfig):
        return lora
    if not isinstance(lora, int) or lora < 0:
        raise PolicyError(f"lora={lora!r}: give a rank such as 16, True, or a peft.LoraConfig.")
    rank = DEFAULT_RANK if lora is True else lora
    fields: dict[str, Any] = {"r": rank, "lora_alpha": 2 * rank, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    return LoraConfig(**(fields | options))


def layers_of(model: Any) -> dict[str, nn.Module]:
    """The layers that LoRA can adapt, by full name, the head included."""
    from transformers.pytorch_utils import Conv1D

    return {name: m for name, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Embedding, Conv1D))}


def keeps_weights_transposed(model: Any) -> bool:
    """True for GPT-2's kind of layer, whose weight is (inputs, outputs); peft wants to be told."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(m, Conv1D) for m in model.modules())


def check_targets(model: Any, lora: Any) -> None:
    """Raises `PolicyError` naming the target that no layer has, and the layers that there are."""
    targets, names = lora.target_modules, list(layers_of(model))
    if targets is None or targets == "all-linear":
        return
    if isinstance(targets, str):  # a regular expression over full names, as in peft
        absent = [] if any(re.fullmatch(targets, name) for name in names) else [targets]
    else:
        absent = [t for t in sorted(targets) if not any(name == t or name.endswith("." + t) for name in names)]
    if absent:
        endings = sorted({name.split(".")[-1] for name in names})
        raise PolicyError(f"the LoRA adapter does not fit: this model has no layer {', '.join(map(repr, absent))}. It has: {', '.join(endings)}.")


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without the warning that peft asks transformers by a name which is to go: nothing that a user of either can mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*deprecated", category=FutureWarning)
        yield


def with_adapter(model: Any, lora: Any, seed: int, source: str) -> Any:
    """`model` with a fresh adapter, drawn from `seed`; the adapter is float32, the base stands still. Raises `PolicyError`."""
    from peft import get_peft_model

    check_targets(model, lora)
    lora.fan_in_fan_out = keeps_weights_transposed(model)
    with torch.random.fork_rng(), quiet_peft():
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, lora)
        except (ValueError, TypeError) as e:
            raise PolicyError(f"the LoRA adapter does not fit: {e}") from e
    return _named(wrapped, source)


def with_saved_adapter(model: Any, folder: Path, source: str) -> Any:
    """`model` with the adapter that lies in `folder`, to be trained further. Raises `PolicyError`."""
    from peft import PeftModel

    try:
        with quiet_peft():
            return _named(PeftModel.from_pretrained(model, str(folder), is_trainable=True), source)
    except (ValueError, RuntimeError, KeyError) as e:
        raise PolicyError(f"the adapter in {str(folder)!r} does not fit its base model {source!r}: {e}") from e


def _named(wrapped: Any, source: str) -> Any:
    """So that a saved adapter names the base by the name that it was loaded by."""
    for config in wrapped.peft_config.values():
        config.base_model_name_or_path = source
    return wrapped
