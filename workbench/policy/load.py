"""`load_policy`: from a name to a `Policy`.

A name is "embedded", a local folder that `save_pretrained` wrote, a .gguf file, or a Hugging Face model id. The Hub is
asked only for the last one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from workbench.policy.policy import Policy, PolicyError

EMBEDDED = Path(__file__).parent.parent / "assets" / "embedded"
LoraLike = Any
"""A `peft.LoraConfig`, or a rank, or True for rank 16 on all linear layers."""


def load_policy(
    name: str | Path = "embedded",
    *,
    lora: LoraLike = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
    seed: int = 0,
    trust_remote_code: bool = False,
) -> Policy:
    """The policy called `name`, ready to sample and train; dropout is off, as in TRL's and the papers' loops.

    `lora` adds a fresh adapter, initialised from `seed` (the base then never changes). `device` None means CUDA where
    there is one. Raises `PolicyError` when the name leads nowhere or the architecture is no causal LM.
    """
    where, options = _locate(name)
    options |= {"trust_remote_code": trust_remote_code}
    model, tokenizer = _read(where, options, dtype, str(name))
    model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    _no_dropout(model)
    if lora is not None and lora is not False:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = _with_adapter(model, lora)
        _no_dropout(model)
    eos = _eos_token_ids(model, tokenizer, str(name))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos[0]
    return Policy(model, tokenizer, str(name), eos, pad)


def save_policy(policy: Policy, folder: str | Path) -> None:
    """Write the policy where `load_policy(folder)` finds it: safetensors and tokenizer files.

    With a LoRA adapter the merged model is written; the policy in memory and its base weights stay as they are.
    """
    model = policy.model
    if policy.has_adapter:
        model = copy.deepcopy(model).merge_and_unload()
    with _no_progress_bars():
        model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Inside, transformers draws no bars: nothing is downloaded."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _locate(name: str | Path) -> tuple[str, dict[str, Any]]:
    """Where transformers finds the policy, and with which options."""
    if str(name) == "embedded":
        return str(EMBEDDED), {"local_files_only": True}
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise PolicyError(f"policy {str(name)!r}: there is no such file. Give the path of an existing .gguf file.")
        return str(path.parent), {"gguf_file": path.name, "local_files_only": True}
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise PolicyError(
                f"policy {str(name)!r}: the folder holds no config.json. Give the folder that save_pretrained wrote; a run "
                "keeps it as RUN/policy.")
        return str(path), {"local_files_only": True}
    if path.is_absolute() or str(name).startswith(".") or str(name).count("/") > 1:
        raise PolicyError(f"policy {str(name)!r}: there is no such folder. Check the path.")
    return str(name), {}


def _read(where: str, options: dict[str, Any], dtype: torch.dtype, name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if "gguf_file" in options:
        _need_gguf(name)
    try:
        with _no_progress_bars() if "local_files_only" in options else nullcontext():
            tokenizer = AutoTokenizer.from_pretrained(where, **options)
            model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, **options)
        return (_plain(model) if "gguf_file" in options else model), tokenizer
    except (OSError, ValueError) as e:
        raise PolicyError(
            f"policy {name!r} could not be loaded: {e}\nGive 'embedded', a folder that save_pretrained wrote, a .gguf file, or "
            "the id of a causal language model on the Hub (which needs the network, and a login for gated models).") from e


def _plain(model: Any) -> Any:
    """A model read from a .gguf file holds plain weights; without its marks of quantisation it can be saved again."""
    del model.config.quantization_config
    model.hf_quantizer, model.quantization_method, model.is_quantized = None, None, False
    return model


def _need_gguf(name: str) -> None:
    from importlib.util import find_spec

    if find_spec("gguf") is None:
        raise PolicyError(f"policy {name!r}: reading a .gguf file needs the package gguf. Run: pip install gguf")


def _no_dropout(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for key in ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop"):
        if getattr(model.config, key, None):
            setattr(model.config, key, 0.0)
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def _with_adapter(model: Any, lora: LoraLike) -> Any:
    from peft import LoraConfig, get_peft_model

    if not isinstance(lora, LoraConfig):
        rank = 16 if lora is True else int(lora)
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    try:
        return get_peft_model(model, lora)
    except ValueError as e:
        linear = sorted({n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)})
        raise PolicyError(f"the LoRA adapter does not fit: {e} Linear layers of this model: {', '.join(linear)}.") from e


def _eos_token_ids(model: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    """Every id that ends a completion: the generation config's, the model's and the tokenizer's."""
    found: list[int] = []
    for eos in (getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id, tokenizer.eos_token_id):
        found += eos if isinstance(eos, list) else [] if eos is None else [eos]
    if not found:
        raise PolicyError(
            f"policy {name!r} has no end token, so every completion would be truncated. Set tokenizer.eos_token and save it.")
    return tuple(dict.fromkeys(found))
