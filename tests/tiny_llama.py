"""A policy that is small enough for any test: a Llama with random weights."""

from __future__ import annotations

from pathlib import Path

import torch


def save_tiny_llama(folder: Path, *, hidden_size: int, layers: int) -> Path:
    """Write one with the embedded policy's tokenizer into `folder`; returns that."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from workbench.policy.load import EMBEDDED, load_policy

    tokenizer = load_policy(EMBEDDED).tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
