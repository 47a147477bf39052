"""What a run would take, beforehand: memory by part and phase, seconds, and what to change where it
does not fit.

    plan(GRPOConfig(lora_rank=16), shape_of("Qwen2.5-0.5B"), device_named("T4"))

From the model's config alone: the policy is built on the meta device and its own forward and
backward are run there, so nothing is downloaded but the config and no architecture needs a formula.
Two things are reckoned by formula instead: what a vLLM beside the trainer needs to start
(`engine_share`), and seconds (`speed`; `workbench.trial` times a few layers on this machine in
their place). What loading would refuse is refused here with the same words (`refusals`).
"""

import sys
from types import ModuleType
from typing import Any

from workbench.lazy import lazy_names

_HOMES = {
    "Plan": "workbench.plan.report",
    "plan": "workbench.plan.planner",
    "Shape": "workbench.plan.shapes",
    "shape_of": "workbench.plan.shapes",
    "PUBLISHED": "workbench.plan.shapes",
    "Device": "workbench.plan.devices",
    "GPUS": "workbench.plan.devices",
    "device_named": "workbench.plan.devices",
    "this_device": "workbench.plan.devices",
    "PlanError": "workbench.plan.devices",
}
__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)


class _CallableRoom(ModuleType):
    """`from workbench import plan` gives the function before anything has imported this room, and
    the room afterwards, since Python binds a package's parts to their names. So the room can be
    called too, and both do the same."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.plan(*args, **options)


sys.modules[__name__].__class__ = _CallableRoom
