"""What a vLLM in this process needs of a GPU before it can start, reckoned from the model's config.

It takes `vllm_gpu_memory_utilization` of the whole GPU, and into that share must go (vLLM 0.32):

    weights    the base in floating point: a quantised policy is handed over as the numbers that it stands for, so 4 bits save nothing here
    cache      keys and values of at least one sequence of the longest length
    work       its largest forward, its sampler and its recorded graphs: an estimate, not measured

Without room for weights and cache it is sure not to start, and `share_problem` says so before
minutes are spent on trying.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from workbench.config import GRPOConfig
from workbench.libraries.hf_transformers import plain_model
from workbench.rollout.plain_weights import count_of
from workbench.rollout.vllm_checks import VLLMError

HIGHEST = 0.95
"""The largest vllm_gpu_memory_utilization that `GRPOConfig` takes."""
BATCHED_TOKENS = 8192
"""Tokens of vLLM's largest forward, its default on most GPUs (16384 on those with 70 GiB or
more)."""
GRAPHS = 2**29
"""Recorded graphs and library work space: an estimate, not measured."""


@dataclass(frozen=True)
class Need:
    """Bytes that vLLM's share must hold. dtype: the format of its weights, in words. tokens: of the
    longest sequence."""

    weights: float
    cache: float
    work: float
    dtype: str
    tokens: int

    @property
    def sure(self) -> float:
        """What it needs in any case."""
        return self.weights + self.cache

    @property
    def usual(self) -> float:
        """With the estimate of its work space."""
        return self.sure + self.work

    def utilization(self, total: float) -> float:
        """The least vllm_gpu_memory_utilization, in hundredths, that holds it on a GPU of `total`
        bytes; above `HIGHEST`, none does."""
        return math.ceil(100 * self.usual / total) / 100


def need_of(text_config: Any, numbers: int, dtype: str, tokens: int, sequences: int) -> Need:
    """The need of a model with that many weights, in `dtype`, for sequences of `tokens`,
    `sequences` of them at once."""
    itemsize = {"float32": 4}.get(dtype, 2)
    return Need(
        numbers * itemsize,
        one_sequence(text_config, tokens) * itemsize,
        work_bytes(text_config, sequences, itemsize),
        dtype,
        tokens,
    )


def one_sequence(c: Any, tokens: int) -> int:
    """Numbers that the cache holds of one sequence: the least that any layout of vLLM's comes to,
    windows taken at their width."""
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    each = 2 * (getattr(c, "num_key_value_heads", None) or c.num_attention_heads) * size
    if getattr(c, "kv_lora_rank", None):  # multi-head latent attention
        each = c.kv_lora_rank + getattr(c, "qk_rope_head_dim", 0)
    window = getattr(c, "sliding_window", None) if getattr(c, "use_sliding_window", True) else None
    plain = "full_attention" if window is None else "sliding_attention"
    held = {"full_attention": tokens, "sliding_attention": min(tokens, window or tokens)}
    kinds = getattr(c, "layer_types", None) or [plain] * c.num_hidden_layers
    return each * sum(held.get(kind, 0) for kind in kinds)


def work_bytes(c: Any, sequences: int, itemsize: int) -> float:
    """An estimate of the largest forward: the inner layer of `BATCHED_TOKENS`, and the sampler's
    float32 logits, a few times."""
    inner = getattr(c, "intermediate_size", None)
    inner = max(inner) if isinstance(inner, list | tuple) else inner or 4 * c.hidden_size
    return (
        BATCHED_TOKENS * (3 * inner + 2 * c.hidden_size) * itemsize
        + sequences * c.vocab_size * (itemsize + 3 * 4)
        + GRAPHS
    )


def longest_sequence(text_config: Any, config: GRPOConfig) -> int:
    """Tokens of the longest sequence: what the config allows, within the model's positions."""
    positions = getattr(text_config, "max_position_embeddings", None)
    wanted = (
        None
        if config.max_prompt_length is None
        else config.max_prompt_length + config.max_completion_length
    )
    known = [n for n in (positions, wanted) if n is not None]
    if not known:
        raise VLLMError(
            "the model names no longest sequence. Set max_prompt_length, so that vLLM knows how long one can be."
        )
    return min(known)


def numbers_of(model: nn.Module) -> int:
    """Weights of the base without its adapter; a quantised one counts for each number that it
    stands for."""
    return sum(
        count_of(p) for name, p in plain_model(model).named_parameters() if ".lora_" not in name
    )


def share_problem(
    need: Need, utilization: float, total: float, *, least: float, room: float, quantized: bool
) -> str | None:
    """Why a share of `utilization` is too small, and what would do; None where it holds `least`
    bytes.

    total: bytes of the GPU. room: bytes of it that vLLM could have beside everything else.
    """
    if utilization * total >= least:
        return None
    bits = ": quantisation does not shrink vLLM's copy" if quantized else ""
    return (
        f"vllm_gpu_memory_utilization={utilization:g} gives vLLM {_gb(utilization * total)} of {_gb(total)}, too little to start: it needs about "
        f"{_gb(need.usual)} ({_gb(need.weights)} for the base in {need.dtype}{bits}; {_gb(need.cache)} for keys and values of one sequence of "
        f"{need.tokens} tokens; {_gb(need.work)} of work space, an estimate). {remedy(need, total, room)}"
    )


def remedy(need: Need, total: float, room: float) -> str:
    """The utilization that would do, or that none does."""
    wanted = need.utilization(total)
    if wanted <= HIGHEST and wanted * total <= room:
        return f"vllm_gpu_memory_utilization={wanted:.2f} would do."
    return (
        f"No value does with all else as it is, which leaves {_gb(max(room, 0))} for it. Take a smaller policy, smaller batches, a larger GPU, or "
        "set rollout_engine='native'."
    )


def check_room(model: Any, settings: Any, free: float, total: float) -> None:
    """Raises `VLLMError` where vLLM with these `Settings` is sure not to start on a GPU with so
    many bytes free."""
    text = plain_model(model).config.get_text_config(decoder=True)
    dtype = str(settings.dtype).removeprefix("torch.")
    need = need_of(text, numbers_of(model), dtype, settings.max_model_len, settings.max_num_seqs)
    share = settings.gpu_memory_utilization
    problem = share_problem(
        need,
        share,
        total,
        least=need.sure,
        room=free,
        quantized=bool(getattr(plain_model(model), "is_quantized", False)),
    )
    if problem is None and share * total > free:
        lower = math.floor(100 * free / total) / 100
        helps = (
            f"Lower it to {lower:.2f}, or free what else is on the GPU."
            if lower * total >= need.sure
            else remedy(need, total, free)
        )
        problem = f"vllm_gpu_memory_utilization={share:g} asks for {_gb(share * total)} of {_gb(total)}, and {_gb(free)} are free. {helps}"
    if problem is not None:
        raise VLLMError(problem)


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
