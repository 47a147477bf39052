"""The ledger: bytes by part in each phase of a step. A run needs the most that any one phase needs,
not their sum.

    rollout    the weights, what a copy of the weights serves (vLLM), the keys and values, the logits of one token a row
    logprobs   one micro-batch forward, without gradient; the reference's copy is asked here
    update     gradients, and one micro-batch forward and backward

Weights, optimizer states (from the first update on) and the reference's copy stand all the time.
What a forward and backward allocate is not estimated: `trace` runs it on the meta device.
`overhead` is what the allocator keeps beside, and what work space inside kernels takes; `framework`
is Python with the libraries, or the CUDA context (none on a GPU on which this process has its
context already: what is free there is less by it). `mapped`: on a CPU the pages of the weights'
file that quantising has read stay in the process, because the weights that are not quantised lie in
the same mapping; the system can take them back when memory is short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.config import GRPOConfig
from workbench.plan import trace
from workbench.plan.allocations import HEAP_LIMIT
from workbench.plan.devices import Device
from workbench.plan.skeleton import Skeleton

MIB = 1024**2
CPU_FRAMEWORK = {"full": 370 * MIB, "adapter": 422 * MIB}
"""Resident memory of a process that has loaded what training needs and a policy of 1M parameters;
an adapter brings peft and bitsandbytes with it. Measured with torch 2.13 and transformers 5.23 on
Linux; benchmarks/plan_against_peaks.py measures it again."""
CPU_VLLM = 400 * MIB
"""vLLM's own libraries and work space on a CPU, fitted to the three cases of
`benchmarks/plan_against_peaks.py --vllm`."""
CUDA_FRAMEWORK = 600 * MIB
"""CUDA context, cuBLAS work space and loaded kernels: an estimate, not measured."""
CUDA_OVERHEAD = 0.06
"""Share that torch's caching allocator keeps beside what is alive: an estimate, not measured."""
HEAP_HOLES = {"full": 0.45, "adapter": 0.75}
"""On a CPU: holes in the heap as a share of its fullest state. Fitted to measured peaks
(benchmarks/plan_against_peaks.py); an adapter's many small tensors between large ones leave more of
them."""
ADAM8_BLOCK = 256
PARTS = {
    "weights": "weights",
    "constants": "quantisation constants",
    "adapter": "adapter",
    "optimizer": "optimizer states",
    "reference": "reference (copy)",
    "gradients": "gradients",
    "activations": "activations",
    "logits": "logits",
    "kv_cache": "keys and values",
    "vllm": "vLLM",
    "mapped": "file of the weights, still mapped",
    "overhead": "allocator and work space",
    "framework": "libraries and context",
}
"""Part -> how it is called for a person."""


@dataclass(frozen=True)
class Phase:
    """Bytes by part, in one phase of a step."""

    name: str
    parts: dict[str, float]

    @property
    def bytes(self) -> float:
        """Their sum."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class _Moving:
    """What comes and goes in a phase: bytes by part, and how much of it at once in small and in
    large pieces."""

    parts: dict[str, float]
    small: float = 0.0
    large: float = 0.0


def phases_of(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, device: Device
) -> list[Phase]:
    """The three phases of a step, in order."""
    gradients = {"gradients": _bytes(skeleton.trained)}
    update = _traced(trace.update_peak(skeleton, config, prompt_tokens))
    moving = {
        "rollout": _rollout(skeleton, config, prompt_tokens, device),
        "logprobs": _traced(trace.logprobs_peak(skeleton, config, prompt_tokens))
        if asks_logprobs(config)
        else _Moving({}),
        "update": _Moving(update.parts | gradients, update.small, update.large),
    }
    static, heap = standing(skeleton, config, device), max(m.small for m in moving.values())
    phases = []
    for name, m in moving.items():
        parts = static | vllm_parts(skeleton, config, device, name) | m.parts
        parts["overhead"] = (
            _heap_overhead(m, heap, config)
            if device.kind == "cpu"
            else CUDA_OVERHEAD * _alive(parts)
        )
        phases.append(Phase(name, {part: float(parts.get(part, 0.0)) for part in PARTS}))
    return phases


def _heap_overhead(moving: _Moving, heap: float, config: GRPOConfig) -> float:
    """What glibc's heap holds beyond what is alive: it stays as large as any phase made it, with
    holes between what lives."""
    holes = HEAP_HOLES["full" if config.lora_rank == 0 else "adapter"]
    used = sum(v for k, v in moving.parts.items() if k != "gradients")
    return max(heap + moving.large - used, 0.0) + holes * heap


def _alive(parts: dict[str, float]) -> float:
    return sum(v for k, v in parts.items() if k not in ("framework", "vllm"))


def standing(skeleton: Skeleton, config: GRPOConfig, device: Device) -> dict[str, float]:
    """What is in memory all the time."""
    copied = config.beta > 0 and config.lora_rank == 0
    kind = "full" if config.lora_rank == 0 else "adapter"
    return {
        "weights": skeleton.weights,
        "constants": skeleton.constants,
        "adapter": skeleton.adapter,
        "optimizer": optimizer_bytes(skeleton, config),
        "reference": _bytes(skeleton.trained) if copied else 0,
        "mapped": skeleton.body * skeleton.file_itemsize
        if config.quantization != "none" and device.kind == "cpu"
        else 0,
        "framework": CPU_FRAMEWORK[kind]
        if device.kind == "cpu"
        else 0
        if device.has_context
        else CUDA_FRAMEWORK,
    }


def asks_logprobs(config: GRPOConfig) -> bool:
    """Whether a step has a pass for old or reference log-probabilities."""
    return not config.on_policy or config.asks_reference


def optimizer_bytes(skeleton: Skeleton, config: GRPOConfig) -> float:
    """AdamW's two moments in the format of the weights; in 8 bits, one byte each and a float32 for
    every 256, small tensors apart."""
    if config.optim == "adamw":
        return 2 * _bytes(skeleton.trained)
    small = sum(p.numel() for p in skeleton.trained if p.numel() < 4096)
    large = sum(p.numel() for p in skeleton.trained) - small
    return 2 * (4 * small + large * (1 + 4 / ADAM8_BLOCK))


def kv_bytes(skeleton: Skeleton, rows: int, tokens: int) -> float:
    """Bytes of the keys and values of that many rows. Read off a cache that the model itself fills,
    so that windows, shared heads and the like are as they are."""
    return rows * trace.cache_bytes(skeleton, tokens)


def _rollout(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, device: Device) -> _Moving:
    parts = rollout_parts(skeleton, config, prompt_tokens, device)
    everything = sum(parts.values())
    large = (
        parts["kv_cache"]
        if parts.get("kv_cache", 0.0) / (2 * skeleton.plain_config.num_hidden_layers) >= HEAP_LIMIT
        else 0.0
    )
    return _Moving(parts, everything - large, large)


def rollout_parts(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, device: Device
) -> dict[str, float]:
    """Keys and values of all rows, the prompts' forward, and the logits of one token a row."""
    if config.rollout_engine == "vllm":
        return {}
    native = config.rollout_engine == "native"
    B, N, layers = (
        config.completions_per_step,
        config.prompts_per_step,
        skeleton.plain_config.num_hidden_layers,
    )
    cache = kv_bytes(skeleton, B, prompt_tokens + config.max_completion_length)
    beside = (
        kv_bytes(skeleton, N, prompt_tokens) if native else cache / layers
    )  # the prompts' own; the layer being made longer
    prefill = trace.prefill_peak(skeleton, N if native else B, prompt_tokens).bytes
    return {
        "kv_cache": cache + beside,
        "logits": _sampled_logits(skeleton, config, device, native),
        "activations": prefill,
    }


def _sampled_logits(skeleton: Skeleton, config: GRPOConfig, device: Device, native: bool) -> float:
    """Logits before and after one token, and what drawing from them takes: on a CPU the native
    sampler works in small pieces."""
    entries = config.completions_per_step * skeleton.plain_config.vocab_size
    held = 2 * entries * skeleton.dtype.itemsize
    if not native:
        return held + 4 * entries * 4
    return held + (2 * entries * 4 if device.kind == "cuda" else 4 * 4 * 2**20)


def vllm_parts(
    skeleton: Skeleton, config: GRPOConfig, device: Device, phase: str
) -> dict[str, float]:
    """What a vLLM in this process holds: its share of the GPU, given back while it sleeps; on a CPU
    a copy of the weights and its cache. Whether the share is enough for it is `vllm_share`'s
    question."""
    if config.rollout_engine != "vllm" or config.vllm_mode == "server":
        return {}
    if device.kind == "cuda":
        asleep = config.vllm_enable_sleep_mode and phase != "rollout"
        return {"vllm": 0.0 if asleep else config.vllm_gpu_memory_utilization * (device.whole or 0)}
    from workbench.rollout.vllm_colocate import CPU_KV_BYTES

    return {"vllm": skeleton.weights_in_floating_point + CPU_KV_BYTES + CPU_VLLM}


def _traced(peak: Any) -> _Moving:
    return _Moving({"logits": peak.logits, "activations": peak.others}, peak.small, peak.large)


def _bytes(tensors: list[Any]) -> float:
    return float(sum(t.numel() * t.element_size() for t in tensors))
