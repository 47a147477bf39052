"""What a vLLM in this process needs of a GPU before it can start, reckoned from the model's config.

It takes `vllm_gpu_memory_utilization` of the whole GPU, and into that share must go (vLLM 0.32):

    weights    the base in floating point: a quantised policy is handed over as the numbers that
               it stands for, so 4 bits save nothing here
    cache      keys and values of at least one sequence of the longest length
    work       its largest forward, its sampler and its recorded graphs: an estimate, not measured

Without room for weights and cache it is sure not to start, and `Need.problem` says so before
minutes are spent on trying.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from workbench.config import GRPOConfig
from workbench.libraries.bitsandbytes_ import count_of
from workbench.libraries.hf_peft import is_of_adapter, plain_model
from workbench.rollout.vllm.checks import VLLMError

HIGHEST = 0.95
"""The largest vllm_gpu_memory_utilization that `GRPOConfig` takes."""
BATCHED_TOKENS = 8192
"""Tokens of vLLM's largest forward, its default on most GPUs (16384 on those with 70 GiB or
more)."""
GRAPHS = 2**29
"""Recorded graphs and library work space: an estimate, not measured."""
MAX_SEQUENCES = 256
"""Completions that are sampled at once, at most."""


@dataclass(frozen=True)
class Need:
    """Bytes that vLLM's share must hold."""

    weights: float
    cache: float
    work: float
    dtype: str
    """The format of its weights, in words."""
    tokens: int
    """Of the longest sequence."""

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

    def least_share(self, total: float) -> float | None:
        """The same, or None where none does."""
        least = self.utilization(total)
        return least if least <= HIGHEST else None

    def problem(
        self, share: float, total: float, *, least: float, room: float, quantized: bool
    ) -> str | None:
        """Why a share is too small, and what would do; None where it holds `least` bytes.

        total: bytes of the GPU. room: bytes of it that vLLM could have beside everything else.
        """
        if share * total >= least:
            return None
        bits = ": quantisation does not shrink vLLM's copy" if quantized else ""
        return (
            f"vllm_gpu_memory_utilization={share:g} gives vLLM {_gb(share * total)} of "
            f"{_gb(total)}, too little to start: it needs about {_gb(self.usual)} "
            f"({_gb(self.weights)} for the base in {self.dtype}{bits}; {_gb(self.cache)} for keys "
            f"and values of one sequence of {self.tokens} tokens; {_gb(self.work)} of work space, "
            f"an estimate). {self.remedy(total, room)}"
        )

    def remedy(self, total: float, room: float) -> str:
        """The utilization that would do, or that none does."""
        wanted = self.least_share(total)
        if wanted is not None and wanted * total <= room:
            return f"vllm_gpu_memory_utilization={wanted:.2f} would do."
        return (
            f"No value does with all else as it is, which leaves {_gb(max(room, 0))} for it. "
            "Take a smaller policy, smaller batches, a larger GPU, or set rollout_engine='native'."
        )


def need_of_run(text_config: Any, config: GRPOConfig, numbers: int, dtype: str) -> Need:
    """The need of a run with a model of so many weights in `dtype`."""
    return need_of(
        text_config, numbers, dtype, longest_sequence(text_config, config), sequences_of(config)
    )


def sequences_of(config: GRPOConfig) -> int:
    """Completions that are sampled at once."""
    return min(MAX_SEQUENCES, config.completions_per_step)


def need_of(text_config: Any, numbers: int, dtype: str, tokens: int, sequences: int) -> Need:
    """The need of a model with that many weights, in `dtype`, for sequences of `tokens`,
    `sequences` of them at once."""
    itemsize = 4 if dtype == "float32" else 2
    return Need(
        weights=numbers * itemsize,
        cache=one_sequence(text_config, tokens) * itemsize,
        work=work_bytes(text_config, sequences, itemsize),
        dtype=dtype,
        tokens=tokens,
    )


def one_sequence(c: Any, tokens: int) -> int:
    """Numbers that the cache holds of one sequence: the least that any layout of vLLM's comes to,
    windows taken at their width."""
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    each = 2 * (getattr(c, "num_key_value_heads", None) or c.num_attention_heads) * size
    if getattr(c, "kv_lora_rank", None):  # multi-head latent attention
        each = c.kv_lora_rank + getattr(c, "qk_rope_head_dim", 0)
    uses_window = getattr(c, "use_sliding_window", True)
    window = getattr(c, "sliding_window", None) if uses_window else None
    plain = "full_attention" if window is None else "sliding_attention"
    # Kinds of layers that are not named here keep a state of fixed size, or nothing.
    held = {"full_attention": tokens, "sliding_attention": min(tokens, window or tokens)}
    kinds = getattr(c, "layer_types", None) or [plain] * c.num_hidden_layers
    return int(each * sum(held.get(kind, 0) for kind in kinds))


def work_bytes(c: Any, sequences: int, itemsize: int) -> float:
    """An estimate of the largest forward: the inner layer of `BATCHED_TOKENS`, and the sampler's
    float32 logits, a few times."""
    inner = getattr(c, "intermediate_size", None)
    inner = max(inner) if isinstance(inner, list | tuple) else inner or 4 * c.hidden_size
    layer = BATCHED_TOKENS * (3 * inner + 2 * c.hidden_size) * itemsize
    sampler = sequences * c.vocab_size * (itemsize + 3 * 4)
    return float(layer + sampler + GRAPHS)


def longest_sequence(text_config: Any, config: GRPOConfig) -> int:
    """Tokens of the longest sequence: what the config allows, within the model's positions."""
    positions = getattr(text_config, "max_position_embeddings", None)
    known = [] if positions is None else [positions]
    if config.max_prompt_length is not None:
        known.append(config.max_prompt_length + config.max_completion_length)
    if not known:
        raise VLLMError(
            "the model names no longest sequence. Set max_prompt_length, so that vLLM knows how "
            "long one can be."
        )
    return int(min(known))


def numbers_of(model: nn.Module) -> int:
    """Weights of the base without its adapter; a quantised one counts for each number that it
    stands for."""
    return sum(
        count_of(p) for name, p in plain_model(model).named_parameters() if not is_of_adapter(name)
    )


def check_room(model: Any, settings: Any, free: float, total: float) -> None:
    """Raises `VLLMError` where vLLM with these `Settings` is sure not to start on a GPU with so
    many bytes free."""
    plain = plain_model(model)
    need = need_of(
        plain.config.get_text_config(decoder=True),
        numbers_of(model),
        str(settings.dtype).removeprefix("torch."),
        settings.max_model_len,
        settings.max_num_seqs,
    )
    share = settings.gpu_memory_utilization
    quantized = bool(getattr(plain, "is_quantized", False))
    # Only what is sure is asked for here: its work space is an estimate, and vLLM knows better.
    problem = need.problem(share, total, least=need.sure, room=free, quantized=quantized)
    if problem is None and share * total > free:
        lower = math.floor(100 * free / total) / 100
        if lower * total >= need.sure:
            helps = f"Lower it to {lower:.2f}, or free what else is on the GPU."
        else:
            helps = need.remedy(total, free)
        problem = (
            f"vllm_gpu_memory_utilization={share:g} asks for {_gb(share * total)} of "
            f"{_gb(total)}, and {_gb(free)} are free. {helps}"
        )
    if problem is not None:
        raise VLLMError(problem)


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
