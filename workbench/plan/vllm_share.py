"""Whether a vLLM beside the trainer can start on a GPU: its share must hold the base in floating
point and room for one sequence.

`memory` counts the share that the config gives it; here is asked whether that share is enough.
Words and arithmetic are
`workbench.rollout.vllm_memory`'s, which asks the same again before vLLM is started.
"""

from __future__ import annotations

from workbench.config import GRPOConfig
from workbench.plan.devices import Device
from workbench.plan.memory import Phase
from workbench.plan.shapes import Shape
from workbench.plan.skeleton import computes_in_bfloat16, dtype_for
from workbench.rollout.vllm_engine import MAX_SEQUENCES
from workbench.rollout.vllm_memory import HIGHEST, Need, longest_sequence, need_of, share_problem


def has_share(config: GRPOConfig, device: Device) -> bool:
    """True where vLLM takes part of the GPU on which the policy is trained."""
    return (
        config.rollout_engine == "vllm"
        and config.vllm_mode == "colocate"
        and device.kind == "cuda"
        and bool(device.whole)
    )


def vllm_need(shape: Shape, config: GRPOConfig, device: Device, numbers: int) -> Need:
    """What its share must hold; numbers: weights of the base."""
    dtype = (
        "bfloat16"
        if computes_in_bfloat16(config, device)
        else str(dtype_for(config, device)).removeprefix("torch.")
    )
    text = shape.config.get_text_config(decoder=True)
    return need_of(
        text,
        numbers,
        dtype,
        longest_sequence(text, config),
        min(MAX_SEQUENCES, config.completions_per_step),
    )


def obstacle(
    shape: Shape, config: GRPOConfig, device: Device, numbers: int, phases: list[Phase]
) -> str | None:
    """Why vLLM could not start, and which utilization would do; None where it can, or is not asked
    for."""
    if not has_share(config, device) or device.whole is None or device.memory is None:
        return None
    need = vllm_need(shape, config, device, numbers)
    awake = [
        p.bytes - p.parts["vllm"]
        for p in phases
        if p.name == "rollout" or not config.vllm_enable_sleep_mode
    ]
    quantized = config.quantization != "none" or shape.stored is not None
    return share_problem(
        need,
        config.vllm_gpu_memory_utilization,
        device.whole,
        least=need.usual,
        room=device.memory - max(awake),
        quantized=quantized,
    )


def least_utilization(
    shape: Shape, config: GRPOConfig, device: Device, numbers: int
) -> float | None:
    """The smallest vllm_gpu_memory_utilization that would do; None where none does, or vLLM is not
    asked for."""
    if not has_share(config, device) or device.whole is None:
        return None
    least = vllm_need(shape, config, device, numbers).utilization(device.whole)
    return least if least <= HIGHEST else None
