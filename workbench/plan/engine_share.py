"""Whether an engine with weights of its own can start beside the trainer on a GPU: its share must
hold the base in floating point and room for one sequence.

`ledger` counts the share that the config gives it; here is asked whether that share is enough. What
it must hold, and the words, are the engine's own (`workbench.rollout.engines`), which asks the same
again before it is started.
"""

from __future__ import annotations

from workbench.config import GRPOConfig
from workbench.config.engines import OwnMemory, beside_trainer
from workbench.plan.devices import Device
from workbench.plan.ledger import Phase
from workbench.plan.shapes import Shape
from workbench.plan.trace.skeleton import computes_in_bfloat16, dtype_for
from workbench.rollout.engines import ENGINES, ShareNeed


def own_share(config: GRPOConfig, device: Device) -> OwnMemory | None:
    """How the engine takes part of the GPU on which the policy is trained; None where it takes
    none."""
    own = beside_trainer(config)
    return own if device.kind == "cuda" and device.whole else None


def share_need(shape: Shape, config: GRPOConfig, device: Device, numbers: int) -> ShareNeed:
    """What its share must hold; numbers: weights of the base."""
    # Under autocast the sampler's weights are in the format of the arithmetic, half as wide.
    if computes_in_bfloat16(config, device):
        dtype = "bfloat16"
    else:
        dtype = str(dtype_for(config, device)).removeprefix("torch.")
    need = ENGINES[config.rollout_engine].share_need
    assert need is not None, f"{config.rollout_engine} has no memory of its own"
    return need(shape.config.get_text_config(decoder=True), config, numbers, dtype)


def obstacle(
    shape: Shape, config: GRPOConfig, device: Device, numbers: int, phases: list[Phase]
) -> str | None:
    """Why the engine could not start, and which share would do; None where it can, or needs
    none."""
    own = own_share(config, device)
    if own is None or device.whole is None or device.memory is None:
        return None
    need = share_need(shape, config, device, numbers)
    # While it sleeps between the rollouts, only the rollout's own tensors lie beside it.
    awake = [
        phase.bytes - phase.parts[config.rollout_engine]
        for phase in phases
        if phase.name == "rollout" or not own.sleeps(config)
    ]
    return need.problem(
        own.share(config),
        device.whole,
        least=need.usual,
        room=device.memory - max(awake),
        quantized=config.quantization != "none" or shape.stored is not None,
    )


def least_share(shape: Shape, config: GRPOConfig, device: Device, numbers: int) -> float | None:
    """The smallest share that would do; None where none does, or the engine needs none."""
    if own_share(config, device) is None or device.whole is None:
        return None
    return share_need(shape, config, device, numbers).least_share(device.whole)
