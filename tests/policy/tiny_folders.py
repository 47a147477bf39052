"""Tiny random models of many families, saved as a person would find them: a folder with weights and
a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers import AutoTokenizer

from workbench.policy.loading.locate import EMBEDDED

V = 384
"""Tokens of the embedded policy's tokenizer, which all of them use."""
IDS: dict[str, Any] = dict(vocab_size=V, eos_token_id=1, pad_token_id=0, bos_token_id=None)
SIZES: dict[str, Any] = IDS | dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    initializer_range=0.2,
)

NATIVE: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": lambda: hf.Qwen2Config(**SIZES, layer_types=["full_attention"] * 2),
    "qwen3": lambda: hf.Qwen3Config(**SIZES, head_dim=16),
    "mistral": lambda: hf.MistralConfig(**SIZES, sliding_window=None),
    "gemma": lambda: hf.GemmaConfig(**SIZES, head_dim=8),
    "phi": lambda: hf.PhiConfig(**SIZES),
    "phi3": lambda: hf.Phi3Config(**SIZES, sliding_window=None),
    "gpt2": lambda: hf.GPT2Config(
        **IDS, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2
    ),
}
"""Full attention: the native engine serves them."""
OTHERS: dict[str, Callable[[], Any]] = {
    "gemma2": lambda: hf.Gemma2Config(**SIZES, head_dim=8, sliding_window=8),
    "gemma3": lambda: hf.Gemma3TextConfig(
        **SIZES, head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"]
    ),
    "mistral-sliding": lambda: hf.MistralConfig(**SIZES, sliding_window=8),
}
"""These go to the transformers engine."""


def save_tiny(name: str, folder: Path, seed: int = 0) -> Path:
    """The family `name` with random weights, in `folder`."""
    torch.manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config((NATIVE | OTHERS)[name]())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    return folder
