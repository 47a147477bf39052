"""Tiny models with random weights, one of each family that the engines meet, and a full forward to
check against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor

from workbench.rollout.types import Rollout

V = 97
SIZES: dict[str, Any] = dict(
    vocab_size=V, hidden_size=32, num_hidden_layers=2, num_attention_heads=4
)
WIDE: dict[str, Any] = SIZES | dict(
    intermediate_size=48, max_position_embeddings=64, initializer_range=0.2
)
GQA: dict[str, Any] = WIDE | dict(num_key_value_heads=2)

FULL_ATTENTION: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**GQA)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**GQA, layer_types=["full_attention"] * 2)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**GQA, head_dim=16)),
    "gpt2": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(
            vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2
        )
    ),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**GQA, sliding_window=None)),
    "phi": lambda: hf.PhiForCausalLM(hf.PhiConfig(**WIDE)),
    "gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**GQA, head_dim=8)),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            **SIZES, ffn_dim=48, word_embed_proj_dim=32, init_std=0.2, max_position_embeddings=64
        )
    ),
}
OTHER_ATTENTION: dict[str, tuple[Callable[[], Any], str]] = {
    "gemma2": (
        lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**GQA, head_dim=8, sliding_window=8)),
        "sliding_attention",
    ),
    "gemma3": (
        lambda: hf.Gemma3ForCausalLM(
            hf.Gemma3TextConfig(
                **GQA,
                head_dim=8,
                sliding_window=8,
                layer_types=["sliding_attention", "full_attention"],
            )
        ),
        "sliding_attention",
    ),
    "mistral-sliding": (
        lambda: hf.MistralForCausalLM(hf.MistralConfig(**GQA, sliding_window=8)),
        "sliding_attention",
    ),
    "mamba": (
        lambda: hf.MambaForCausalLM(
            hf.MambaConfig(vocab_size=V, hidden_size=32, num_hidden_layers=2, state_size=4)
        ),
        "position_ids|recurrent state",
    ),
    "bloom": (
        lambda: hf.BloomForCausalLM(
            hf.BloomConfig(vocab_size=V, hidden_size=32, n_layer=2, n_head=4)
        ),
        "position_ids",
    ),
    "t5": (
        lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(vocab_size=V, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4)
        ),
        "encoder-decoder",
    ),
}

EOS = tuple(range(1, 9))
PAD = 0


def build(name: str, seed: int = 0) -> Any:
    """A model of the family, in evaluation mode. Its weights are wide enough for peaked, varied
    predictions."""
    torch.manual_seed(seed)
    make = FULL_ATTENTION[name] if name in FULL_ATTENTION else OTHER_ATTENTION[name][0]
    return make().eval()


def ragged_prompts(lengths: tuple[int, ...] = (3, 9, 5, 1, 7), seed: int = 0) -> list[list[int]]:
    """Prompts of these lengths over tokens that are neither an end token nor padding."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(10, V, (n,), generator=generator).tolist() for n in lengths]


@torch.no_grad()
def full_forward_logp(model: Any, rollout: Rollout, temperature: float) -> Tensor:
    """Log-probabilities (B, T) of the sampled tokens from one forward for each row: no padding, no
    cache, no batch."""
    logp_BT = torch.zeros_like(rollout.sampler_logp_BT)
    for row, completion in enumerate(rollout.completion_lists()):
        prompt_index = row // rollout.num_generations
        prompt = rollout.prompt_ids_NP[prompt_index][rollout.prompt_mask_NP[prompt_index]].tolist()
        logits_TV = model(torch.tensor([prompt + completion]), use_cache=False).logits[
            0, len(prompt) - 1 : -1
        ]
        all_logp_TV = (logits_TV.float() / temperature).log_softmax(-1)
        logp_BT[row, : len(completion)] = all_logp_TV.gather(
            1, torch.tensor(completion)[:, None]
        ).squeeze(1)
    return logp_BT
