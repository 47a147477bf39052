"""The ledger: bytes by part in each phase of a step. A run needs the most that any one phase needs,
not their sum.

    rollout    the weights, what a copy of the weights serves (vLLM), the keys and values, the
               logits of one token a row
    logprobs   one micro-batch forward, without gradient; the reference's copy is asked here, and
               so are critic and teacher
    update     gradients, and one micro-batch forward and backward; then the same of the critic,
               when the policy's gradients are gone

Weights, optimizer states (from the first update on) and the reference's copy stand all the time,
and so do a critic with its own optimizer states and a teacher, where the method has them. A method
that samples nothing has a rollout in its evaluations alone.
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
from workbench.config.engines import ENGINE_FACTS, beside_trainer, facts_of
from workbench.plan.beside import (
    Teacher,
    asks_old,
    asks_reference,
    copies_reference,
    critic_bytes,
    has_critic,
    samples,
)
from workbench.plan.devices import Device
from workbench.plan.trace import passes
from workbench.plan.trace.allocations import HEAP_LIMIT, Peak
from workbench.plan.trace.skeleton import Skeleton
from workbench.rollout.shared_decoding import keeps_prompts_once

MIB = 1024**2
CPU_FRAMEWORK = {"full": 370 * MIB, "adapter": 422 * MIB}
"""Resident memory of a process that has loaded what training needs and a policy of 1M parameters;
an adapter brings peft and bitsandbytes with it. Measured with torch 2.13 and transformers 5.23 on
Linux; benchmarks/plan_against_peaks.py measures it again."""
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
    "past": "weights of earlier steps",
    "critic": "critic, its optimizer",
    "teacher": "teacher",
    "gradients": "gradients",
    "activations": "activations",
    "logits": "logits",
    "kv_cache": "keys and values",
    **{f.name: f.title for f in ENGINE_FACTS.values() if f.own_memory is not None},
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
    """What comes and goes in a phase."""

    moments: list[dict[str, float]]
    """Bytes by part at the fullest state of each part of the computation, in order."""
    small: float = 0.0
    """The most bytes at once in small pieces ..."""
    large: float = 0.0
    """... and in large ones."""


def fullest(moments: list[list[Phase]]) -> list[Phase]:
    """Of the moments of each phase the one that needs the most."""
    return [max(phase, key=lambda moment: moment.bytes) for phase in moments]


def moments_of(
    skeleton: Skeleton,
    config: GRPOConfig,
    prompt_tokens: int,
    device: Device,
    teacher: Teacher | None = None,
) -> list[list[Phase]]:
    """For each phase of a step, in order, what is in memory at each of its moments. With the layers
    each of them grows evenly, and the fullest need not."""
    moving = {
        "rollout": _rollout(skeleton, config, prompt_tokens, device),
        "logprobs": _logprobs(skeleton, config, prompt_tokens, teacher),
        "update": _update(skeleton, config, prompt_tokens),
    }
    static = standing(skeleton, config, device)
    static["teacher"] = 0.0 if teacher is None else teacher.weights
    # The heap stays as large as any phase made it.
    heap = max(m.small for m in moving.values())
    phases: list[list[Phase]] = []
    for name, m in moving.items():
        beside = static | engine_parts(skeleton, config, device, name)
        phases.append([])
        for moment in m.moments:
            parts = beside | moment
            if device.kind == "cpu":
                parts["overhead"] = _heap_overhead(moment, m.large, heap, config)
            else:
                parts["overhead"] = CUDA_OVERHEAD * _alive(parts)
            every = {part: float(parts.get(part, 0.0)) for part in PARTS}
            phases[-1].append(Phase(name, every))
    return phases


def _logprobs(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, teacher: Teacher | None
) -> _Moving:
    """The passes without gradient, one after the other."""
    found = []
    if asks_old(config) or asks_reference(skeleton, config):
        found.append(_traced(passes.logprobs_peak(skeleton, config, prompt_tokens)))
    if has_critic(config):
        found.append(_traced(passes.critic_values_peak(skeleton, config, prompt_tokens)))
    if teacher is not None:
        found.append(_traced(teacher.forward))
    return _one_after_the_other(found) if found else _Moving([{}])


def _update(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int) -> _Moving:
    """The policy's update, then the critic's: it learns when the policy's gradients are gone."""
    own = _traced(passes.update_peak(skeleton, config, prompt_tokens))
    gradients = {"gradients": _bytes(skeleton.trained)}
    policy = _Moving([moment | gradients for moment in own.moments], own.small, own.large)
    if not has_critic(config):
        return policy
    critic = critic_bytes(skeleton)
    learning = _traced(passes.critic_update_peak(skeleton, config, prompt_tokens))
    held = {"critic": critic.standing + critic.gradients}
    moments = [moment | held for moment in learning.moments]
    return _one_after_the_other([policy, _Moving(moments, learning.small, learning.large)])


def _one_after_the_other(parts: list[_Moving]) -> _Moving:
    return _Moving(
        [moment for part in parts for moment in part.moments],
        small=max(part.small for part in parts),
        large=max(part.large for part in parts),
    )


def _heap_overhead(
    moment: dict[str, float], large: float, heap: float, config: GRPOConfig
) -> float:
    """What glibc's heap holds beyond what is alive: it stays as large as any phase made it, with
    holes between what lives. `large`: what lies outside it."""
    holes = HEAP_HOLES["full" if config.lora_rank == 0 else "adapter"]
    used = sum(v for k, v in moment.items() if k not in ("gradients", "critic"))
    return max(heap + large - used, 0.0) + holes * heap


def _alive(parts: dict[str, float]) -> float:
    """What torch's allocator hands out: neither the context nor another engine's own share."""
    return sum(v for k, v in parts.items() if k != "framework" and k not in ENGINE_FACTS)


def standing(skeleton: Skeleton, config: GRPOConfig, device: Device) -> dict[str, float]:
    """What is in memory all the time."""
    copied = copies_reference(skeleton, config)
    kind = "full" if config.lora_rank == 0 else "adapter"
    return {
        "weights": skeleton.weights,
        "constants": skeleton.constants,
        "adapter": skeleton.adapter,
        "optimizer": optimizer_bytes(skeleton, config),
        "reference": _bytes(skeleton.trained) if copied else 0,
        "past": config.rollout_staleness * _bytes(skeleton.trained),
        "critic": critic_bytes(skeleton).standing if has_critic(config) else 0,
        "mapped": skeleton.body * skeleton.file_itemsize
        if config.quantization != "none" and device.kind == "cpu"
        else 0,
        "framework": CPU_FRAMEWORK[kind]
        if device.kind == "cpu"
        else 0
        if device.has_context
        else CUDA_FRAMEWORK,
    }


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
    return rows * passes.cache_bytes(skeleton, tokens)


def sampled_kv_bytes(
    skeleton: Skeleton, rows: int, prompts: int, prompt_tokens: int, config: GRPOConfig, kind: str
) -> float:
    """Bytes of the keys and values of a rollout, at its end, on a device of that kind: a prompt's
    stand there once where its completions share them."""
    length = config.max_completion_length
    facts = facts_of(config)
    if keeps_prompts_once(facts, skeleton.model, kind, skeleton.dtype, rows, prompts):
        return kv_bytes(skeleton, prompts, prompt_tokens) + kv_bytes(skeleton, rows, length)
    return kv_bytes(skeleton, rows, prompt_tokens + length)


def _rollout(skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, device: Device) -> _Moving:
    parts = rollout_parts(skeleton, config, prompt_tokens, device)
    everything = sum(parts.values())
    large = (
        parts["kv_cache"]
        if parts.get("kv_cache", 0.0) / (2 * skeleton.plain_config.num_hidden_layers) >= HEAP_LIMIT
        else 0.0
    )
    return _Moving([parts], everything - large, large)


def rollout_parts(
    skeleton: Skeleton, config: GRPOConfig, prompt_tokens: int, device: Device
) -> dict[str, float]:
    """Keys and values of all rows, the prompts' forward, and the logits of one token a row."""
    engine = facts_of(config)
    if engine.own_memory is not None:
        return {}  # they lie in the engine's own share, see `engine_parts`
    rows = config.completions_per_step
    own_prompts = config.prompts_per_step
    if not samples(config):
        # Only evaluations sample, one answer to each problem.
        rows = min(rows, config.num_eval_problems)
        own_prompts = rows
    cache = sampled_kv_bytes(skeleton, rows, own_prompts, prompt_tokens, config, device.kind)
    # A cache in place is copied from the prompts' own, which stands until then; one that grows is
    # copied layer by layer, so one layer stands twice.
    if engine.in_place_cache:
        beside = kv_bytes(skeleton, own_prompts, prompt_tokens)
    else:
        beside = cache / skeleton.plain_config.num_hidden_layers
    prompts = own_prompts if engine.shares_prompt else rows
    return {
        "kv_cache": cache + beside,
        "logits": _sampled_logits(skeleton, rows, device, engine.samples_in_pieces),
        "activations": passes.prefill_peak(skeleton, prompts, prompt_tokens).bytes,
    }


def _sampled_logits(skeleton: Skeleton, rows: int, device: Device, in_pieces: bool) -> float:
    """Logits before and after one token, and what drawing from them takes: on a CPU the native
    sampler works in small pieces."""
    entries = rows * int(skeleton.plain_config.vocab_size)
    held = 2 * entries * skeleton.dtype.itemsize
    if not in_pieces:
        return held + 4 * entries * 4
    return held + (2 * entries * 4 if device.kind == "cuda" else 4 * 4 * 2**20)


def engine_parts(
    skeleton: Skeleton, config: GRPOConfig, device: Device, phase: str
) -> dict[str, float]:
    """What an engine with weights of its own holds in this process: its share of the GPU, given
    back while it sleeps; on a CPU a copy of the weights and its cache. Whether the share is enough
    for it is `engine_share`'s question."""
    own = beside_trainer(config)
    if own is None:
        return {}
    name = config.rollout_engine
    if device.kind == "cuda":
        asleep = own.sleeps(config) and phase != "rollout"
        return {name: 0.0 if asleep else own.share(config) * (device.whole or 0)}
    weights = skeleton.weights_in_floating_point
    return {name: weights + own.cpu_cache_bytes + own.cpu_library_bytes}


def _traced(peak: Peak) -> _Moving:
    moments = [
        {"logits": float(moment.logits), "activations": float(moment.others)}
        for moment in peak.moments.values()
    ]
    return _Moving(moments, peak.small, peak.large)


def _bytes(tensors: list[Any]) -> float:
    return float(sum(t.numel() * t.element_size() for t in tensors))
