"""A model's shape: its transformers config, from wherever it can be had without weights.

`shape_of` knows a few published configs by name, so that a plan needs no network: they are the
numbers of the models' config.json files as their makers published them. Everything else goes the
way of `load_policy`: "embedded", a folder, a .gguf file (its header alone is read), or an id of the
Hub (its config.json alone is fetched).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.plan.devices import PlanError


@dataclass(frozen=True)
class Stored:
    """Weights that are quantised in the model's files."""

    kind: str
    """"nf4", "fp4", "int8", or the name of another method ("gptq", "awq"), which no plan
    follows."""
    nested: bool = True
    """Whether the scales of 4-bit weights are quantised themselves (double quantisation)."""
    skipped: tuple[str, ...] = ()
    """Names of the layers that are not quantised, or the beginnings or ends of their names."""

    @property
    def followed(self) -> bool:
        """True for what bitsandbytes stores."""
        return self.kind in ("nf4", "fp4", "int8")


@dataclass(frozen=True)
class Shape:
    """What of a model decides over memory and time."""

    name: str
    config: Any
    """Its transformers config."""
    source: str
    """Where that comes from, in words."""
    stored: Stored | None = None
    """How its files are quantised; None = not at all."""


def _qwen(
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv: int,
    vocab: int = 151936,
    tied: bool = True,
) -> dict[str, Any]:
    return dict(
        model_type="qwen2",
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocab,
        tie_word_embeddings=tied,
        max_position_embeddings=32768,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
    )


def _llama(
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv: int,
    vocab: int,
    tied: bool,
    positions: int = 131072,
) -> dict[str, Any]:
    return dict(
        model_type="llama",
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocab,
        tie_word_embeddings=tied,
        max_position_embeddings=positions,
    )


PUBLISHED: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": _llama(576, 1536, 30, 9, 3, 49152, True, 8192),
    "SmolLM2-360M": _llama(960, 2560, 32, 15, 5, 49152, True, 8192),
    "SmolLM2-1.7B": _llama(2048, 8192, 24, 32, 32, 49152, True, 8192),
    "Qwen2.5-0.5B": _qwen(896, 4864, 24, 14, 2),
    "Qwen2.5-1.5B": _qwen(1536, 8960, 28, 12, 2),
    "Qwen2.5-3B": _qwen(2048, 11008, 36, 16, 2),
    "Qwen2.5-7B": _qwen(3584, 18944, 28, 28, 4, vocab=152064, tied=False),
    "Llama-3.2-1B": _llama(2048, 8192, 16, 32, 8, 128256, True),
    "Llama-3.2-3B": _llama(3072, 8192, 28, 24, 8, 128256, True),
    "Llama-3.1-8B": _llama(4096, 14336, 32, 32, 8, 128256, False),
    "TinyLlama-1.1B": _llama(2048, 5632, 22, 32, 4, 32000, False, 2048),
}
"""Name -> the fields of its published config.json that give it its size."""


def shape_of(name: str | Path) -> Shape:
    """The shape of the policy called `name`. Raises `PlanError` or `PolicyError` when the name
    leads nowhere."""
    known = published(str(name))
    return known if known is not None and not Path(name).exists() else _located(name)


def published(name: str) -> Shape | None:
    """One of `PUBLISHED`, also by its id on the Hub and with -Instruct behind it; None for another
    name."""
    from transformers import AutoConfig

    last = name.split("/")[-1].removesuffix("-Instruct")
    found = next((key for key in PUBLISHED if key.lower() == last.lower()), None)
    if found is None or name.count("/") > 1:
        return None
    values = dict(PUBLISHED[found])
    return Shape(
        name,
        AutoConfig.for_model(values.pop("model_type"), **values),
        f"the published config of {found}, which the workbench ships",
    )


def _located(name: str | Path) -> Shape:
    from transformers import AutoConfig

    from workbench.policy.loading.checks import check_sizes
    from workbench.policy.policy import PolicyError

    text, path = str(name), Path(name).expanduser()
    where, options = _where(text, path)
    try:
        check_sizes(where, options, text)
        config = AutoConfig.from_pretrained(where, **options)
    except PolicyError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        raise PlanError(
            f"policy {text!r}: its config cannot be read ({e}). Give a folder, a .gguf file, a "
            "Hub id, or one of "
            f"{', '.join(PUBLISHED)}."
        ) from e
    if "gguf_file" in options:
        return Shape(text, config, "the header of the .gguf file")
    return Shape(text, config, "its config.json", stored_as(config))


def stored_as(config: Any) -> Stored | None:
    """What a config says of its files' quantisation."""
    from workbench.policy.quantization import stored_kind

    kind = stored_kind(config)
    if kind == "none":
        return None
    says = config.quantization_config
    says = says if isinstance(says, dict) else says.to_dict()
    skipped = says.get("llm_int8_skip_modules") or says.get("modules_to_not_convert") or ()
    return Stored(kind, bool(says.get("bnb_4bit_use_double_quant")), tuple(skipped))


def _where(text: str, path: Path) -> tuple[str, dict[str, Any]]:
    """First argument and options for `AutoConfig.from_pretrained`. A Hub id is not asked about
    twice: only its config is fetched."""
    from workbench.policy.loading.locate import locate

    local = (
        text == "embedded"
        or path.suffix == ".gguf"
        or path.exists()
        or path.is_absolute()
        or text.startswith(".")
    )
    if not local:
        return text, {}
    place = locate(text)
    return place.where, place.options


LIKE_LAYERS = (
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "phi",
    "phi3",
    "gpt2",
    "opt",
    "gemma",
    "gpt_neox",
    "starcoder2",
    "stablelm",
    "olmo",
    "olmo2",
    "granite",
)
"""Model types whose layers are all of one build, unless `layer_types` says otherwise."""


def layers_are_alike(config: Any) -> bool:
    """True where one layer takes what every other takes."""
    text = config.get_text_config(decoder=True)
    return (
        text is config
        and config.model_type in LIKE_LAYERS
        and len(set(getattr(config, "layer_types", None) or ["one"])) == 1
    )


def with_layers(shape: Shape, layers: int) -> Shape:
    """The same model with fewer layers."""
    config = copy.deepcopy(shape.config)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    config.num_hidden_layers = layers
    return replace(shape, config=config)
