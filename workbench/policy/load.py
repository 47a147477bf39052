"""`load_policy`: from a name to a `Policy`.

The order matters to whoever waits: first what the name and the config alone can tell (seconds),
then the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from workbench.config import GRPOConfig
from workbench.libraries.bitsandbytes_ import keep_from_changing
from workbench.libraries.devices import default_device
from workbench.libraries.hf_transformers import (
    checkpoint_activations,
    making_a_model,
    no_progress_bars,
)
from workbench.libraries.torch_ import attend_without_cudnn
from workbench.policy.adapter import (
    LoraLike,
    check_saved,
    check_targets,
    lora_config,
    stored_quantization,
    with_adapter,
    with_saved_adapter,
)
from workbench.policy.dtype import DtypeLike, compute_in_bfloat16, wants_autocast, weight_dtype
from workbench.policy.for_config import settings_of
from workbench.policy.loading import checks
from workbench.policy.loading.locate import EMBEDDED, Place, locate
from workbench.policy.loading.tokenizer_checks import check_template, check_vocabulary
from workbench.policy.loading.tokens import end_token_ids, padding_id
from workbench.policy.policy import Policy, PolicyError
from workbench.policy.quantization import (
    check_quantization,
    compute_in,
    loading_config,
    need_bitsandbytes,
    quantize,
    stored_kind,
)
from workbench.policy.save import save_policy
from workbench.policy.vocabulary import rows_said_by

__all__ = ["EMBEDDED", "load_policy", "save_policy"]


def load_policy(
    name: str | Path = "embedded",
    *,
    config: GRPOConfig | None = None,
    lora: LoraLike = None,
    quantization: str | None = None,
    dtype: DtypeLike = None,
    device: str | torch.device | None = None,
    gradient_checkpointing: bool | None = None,
    seed: int | None = None,
    trust_remote_code: bool = False,
    trainable: bool = True,
) -> Policy:
    """The policy called `name`, ready to sample and train; dropout is off, as in TRL's and the
    papers' loops.

    name           "embedded", a folder that save_pretrained wrote (or one with an adapter alone),
                   a .gguf file, or an id of the Hub, which alone needs the network
    config         a run's: adapter, quantisation, dtype, checkpointing and seed as it says, and
                   then none of them may be given beside it. What is to be trained is loaded so
    lora           a fresh adapter, initialised from `seed` (None means 0): True (rank 16), a rank,
                   or a `peft.LoraConfig`; the base then never changes. A saved adapter keeps its
                   own rank: leave it out, or give the same
    quantization   "nf4" or "int8": the frozen base in 4 or 8 bits (needs `lora`, or
                   `trainable=False`). None: for a saved adapter as when it was trained, else "none"
    dtype          of the weights; None or "auto" chooses by device, see `workbench.policy.dtype`
    device         None means CUDA where there is one, else Apple's GPU ("mps") where there is one,
                   else the CPU; WORKBENCH_DEVICE=cpu says otherwise
    gradient_checkpointing   compute activations twice instead of keeping them; None
                   means no
    trainable      False for sampling and evaluation alone: nothing will be trained, so all weights
                   stand still, and can be quantised, or 16 bits wide (the choice on CUDA)

    Raises `PolicyError` for what cannot work, before any weights are read where that can be known.
    """
    if config is not None:
        own = {
            "lora": lora,
            "quantization": quantization,
            "dtype": dtype,
            "gradient_checkpointing": gradient_checkpointing,
            "seed": seed,
        }
        _check_said_once(own)
        return load_policy(
            name,
            **settings_of(config, name),
            device=device,
            trust_remote_code=trust_remote_code,
            trainable=trainable,
        )
    place = locate(name)
    device = _device(device)
    adapter = _asked_adapter(place, lora)
    frozen = adapter is not None or place.adapter is not None or not trainable
    kind = _asked_quantization(place, quantization, frozen)
    chosen = weight_dtype(dtype, device, frozen)
    model_config = _config(place, trust_remote_code)
    _check_before_reading(
        place, model_config, adapter, kind, chosen, device, trust_remote_code, frozen
    )

    tokenizer = _tokenizer(place, model_config, trust_remote_code)
    model = _read(place, model_config, chosen, kind, device, trust_remote_code)
    if place.adapter is not None:
        model = with_saved_adapter(model, place.adapter, _source(place), trainable)
    model = for_training(
        model,
        adapter if place.adapter is None else None,
        seed=seed or 0,
        source=_source(place),
        autocast=wants_autocast(dtype, device, frozen),
        gradient_checkpointing=bool(gradient_checkpointing),
    )
    if not trainable:
        model.requires_grad_(False)
    return _with_end_tokens(model, tokenizer, place.lasting_name, bool(gradient_checkpointing))


def load_reader(name: str | Path = "embedded", *, trust_remote_code: bool = False) -> Policy:
    """The policy called `name` without its weights: it renders prompts and reads tokens, and can do
    nothing else. Raises `PolicyError`."""
    place = locate(name)
    model_config = _config(place, trust_remote_code)
    tokenizer = _tokenizer(place, model_config, trust_remote_code)
    without_weights = SimpleNamespace(config=model_config)
    return Policy(without_weights, tokenizer, place.lasting_name, (), tokenizer.pad_token_id or 0)


def _device(device: str | torch.device | None) -> torch.device:
    """As said, else the best that is here."""
    return torch.device(device) if device else default_device()


def _asked_adapter(place: Place, lora: LoraLike) -> Any:
    """The adapter as peft describes it, or None. Raises `PolicyError` where another rank is asked
    for than the saved adapter's."""
    adapter = lora_config(lora)
    if place.adapter is not None and adapter is not None and lora is not True:
        check_saved(place.adapter, place.name, {"lora_rank": adapter.r})
    return adapter


def _asked_quantization(place: Place, quantization: str | None, frozen: bool) -> str:
    """As said, else as the saved adapter was trained, else "none". Raises `PolicyError` for what
    does not exist or cannot be trained."""
    if quantization is None and place.adapter is not None:
        quantization = stored_quantization(place.adapter)
    return check_quantization(quantization, trains_all=not frozen)


def _with_end_tokens(model: Any, tokenizer: Any, name: str, gradient_checkpointing: bool) -> Policy:
    """The policy: model and tokenizer, with what ends a completion and what fills a row."""
    eos = end_token_ids(model, tokenizer, name)
    padding = padding_id(model, tokenizer, eos)
    return Policy(model, tokenizer, name, eos, padding, gradient_checkpointing)


def _check_said_once(own: dict[str, Any]) -> None:
    """Raises `PolicyError` for what was said beside a config, which says it too."""
    if given := [name for name, value in own.items() if value is not None]:
        raise PolicyError(
            f"load_policy was given config and {', '.join(given)}: the config says that already. "
            "Leave it out, or say it in the config: config.replace(...)."
        )


def for_training(
    model: Any,
    adapter: Any,
    *,
    seed: int,
    source: str,
    autocast: bool,
    gradient_checkpointing: bool,
) -> Any:
    """A model with its weights, made ready: no dropout, a fresh adapter where one is asked for,
    arithmetic in bfloat16, checkpointing, and on a GPU attention that does not mind new shapes."""
    if model.device.type == "cuda":
        attend_without_cudnn()
    if adapter is not None:
        model = with_adapter(model, adapter, seed, source)
    _no_dropout(model)
    if autocast:
        compute_in_bfloat16(model)
    if gradient_checkpointing:
        # In training mode, which without dropout computes what evaluation does.
        checkpoint_activations(model)
    return model


def _source(place: Place) -> str:
    """How a saved adapter names its base: in a way that still leads there from another folder."""
    if place.where == str(EMBEDDED):
        return "embedded"
    gguf = place.options.get("gguf_file")
    return place.where if place.folder is None else str(Path(place.where, gguf or "").resolve())


def _options(place: Place, trust_remote_code: bool) -> dict[str, Any]:
    return place.options | {"trust_remote_code": trust_remote_code}


def _config(place: Place, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig

    try:
        checks.check_sizes(place.where, place.options, place.name)
        return AutoConfig.from_pretrained(place.where, **_options(place, trust_remote_code))
    except PolicyError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        raise PolicyError(
            f"policy {place.name!r} could not be loaded, its config cannot be read: {e}"
        ) from e


def _already(place: Place, config: Any) -> str:
    """How the files are quantised; a .gguf file is read as plain weights."""
    return "none" if place.is_gguf else stored_kind(config)


def _check_before_reading(
    place: Place,
    config: Any,
    adapter: Any,
    kind: str,
    dtype: torch.dtype,
    device: torch.device,
    trust_remote_code: bool,
    frozen: bool,
) -> None:
    """All that the config and the files' headers can tell."""
    checks.check_architecture(config, place.name, trust_remote_code)
    already = _already(place, config)
    if already != "none" and not frozen:
        raise PolicyError(
            f"policy {place.name!r} is quantised, and quantised weights stand still. Add "
            "lora=16 (--lora)."
        )
    if already != "none" and kind not in ("none", already):
        raise PolicyError(
            f"policy {place.name!r} is quantised already, as {already!r}. Leave out "
            f"quantization={kind!r}."
        )
    if device.type == "mps" and (kind != "none" or already in checks.BITS):
        raise PolicyError(
            f"policy {place.name!r} in {kind if kind != 'none' else already}: quantised weights "
            "were tried on CUDA and on the CPU, not on Apple's GPU (mps). Leave quantization out, "
            "or load it with device='cpu' (WORKBENCH_DEVICE=cpu)."
        )
    if already in checks.BITS:
        need_bitsandbytes(f"policy {place.name!r}, quantised as {already!r},")
    checks.check_files(place)
    if trust_remote_code or already not in ("none", *checks.BITS):
        # The layers of foreign code, and the bytes of other methods, are known only when they are
        # read.
        return
    bare = checks.skeleton(config)
    if adapter is not None:
        check_targets(bare, adapter)
    checks.check_memory(bare, place, dtype, already if kind == "none" else kind, device)


def _tokenizer(place: Place, config: Any, trust_remote_code: bool) -> Any:
    """The tokenizer, which fits the model and can ask a question. Raises `PolicyError`."""
    from transformers import AutoTokenizer

    with _as_policy_errors(place):
        tokenizer = AutoTokenizer.from_pretrained(place.where, **_options(place, trust_remote_code))
    check_template(tokenizer, place.name)
    check_vocabulary(tokenizer, rows_said_by(config), place.name)
    return tokenizer


@contextmanager
def _as_policy_errors(place: Place) -> Iterator[None]:
    """What transformers raises over files, as a `PolicyError` that names the policy."""
    from safetensors import SafetensorError

    try:
        with no_progress_bars() if place.options else nullcontext():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise PolicyError(f"policy {place.name!r} could not be loaded: {e}") from e


def _read(
    place: Place,
    config: Any,
    dtype: torch.dtype,
    kind: str,
    device: torch.device,
    trust_remote_code: bool,
) -> Any:
    """The model on `device`, quantised when asked for. Raises `PolicyError`."""
    from transformers import AutoModelForCausalLM

    options = _options(place, trust_remote_code)
    loaded: Any
    how: dict[str, Any] = {"config": config, "dtype": dtype, "output_loading_info": True}
    already = _already(place, config)
    if (
        kind != "none" and already == "none" and not place.is_gguf
    ):  # transformers quantises no .gguf file
        how |= {"quantization_config": loading_config(kind, dtype)}
    if device.type == "cuda" or "quantization_config" in how:
        how |= {"device_map": {"": device}}
    with _as_policy_errors(place), making_a_model():
        loaded = AutoModelForCausalLM.from_pretrained(place.where, **how, **options)
    model, info = loaded
    checks.check_nothing_missing(info, place.name)
    if place.is_gguf:
        _forget_gguf(model)
        if kind != "none":
            quantize(model, kind, dtype)
    if not getattr(model, "is_quantized", False):
        model.to(device)
    else:
        if already in checks.BITS:
            compute_in(model, dtype)
        keep_from_changing(model)
    return model


def _forget_gguf(model: Any) -> None:
    """A model read from a .gguf file holds plain weights; without its marks of quantisation it can
    be saved again."""
    del model.config.quantization_config
    model.hf_quantizer, model.quantization_method, model.is_quantized = None, None, False


def _no_dropout(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for key in ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "layerdrop"):
        if getattr(model.config, key, None):
            setattr(model.config, key, 0.0)
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
