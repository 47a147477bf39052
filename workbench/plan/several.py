"""A run in several processes, planned: what one of them has to do and to hold."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from workbench.config import GRPOConfig
from workbench.plan.devices import Device, PlanError
from workbench.plan.planner import plan
from workbench.plan.report import Plan, size
from workbench.plan.shapes import Shape


def plan_of_several(config: GRPOConfig, shape: Shape, device: Device, processes: int) -> Plan:
    """The plan of one of `processes`, each of which holds the whole policy and computes its share
    of every update's groups. On a GPU each has a device like this one to itself, on a CPU they
    share its memory. Raises what `plan` does, and `PlanError` for no processes."""
    if processes < 1:
        raise PlanError(f"processes={processes}: at least 1 is needed.")
    if processes == 1:
        return plan(config, shape, device)
    share = share_of(config, processes)
    made = plan(share, shape, part_of(device, processes))
    made.notes.insert(0, _words(config, share, device, processes))
    return made


def share_of(config: GRPOConfig, processes: int) -> GRPOConfig:
    """The largest share of a step: of each update so many groups as the process with most of them
    has."""
    groups = ceil(config.prompts_per_step / config.updates_per_rollout / processes)
    return config.replace(prompts_per_step=groups * config.updates_per_rollout)


def part_of(device: Device, processes: int) -> Device:
    """What one process may take of the device."""
    if device.kind != "cpu" or device.memory is None:
        return device
    return replace(device, memory=device.memory // processes)


def _words(config: GRPOConfig, share: GRPOConfig, device: Device, processes: int) -> str:
    own, whole = share.prompts_per_step, config.prompts_per_step
    said = f"All of this is for one of {processes} processes, with {own} of {whole} prompts a step"
    if device.kind != "cpu":
        return f"{said}; each needs a {device.name} of its own."
    memory = "" if device.memory is None else f" of {size(device.memory)}"
    return (
        f"{said}; they share this machine's memory{memory} evenly, and the seconds hold where each "
        "has as many cores to itself as were timed."
    )
