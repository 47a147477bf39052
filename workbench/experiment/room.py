"""How many runs fit at once: by the cores, and by what `workbench plan` says that one needs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from workbench.experiment.variants import ExperimentError, Variant

SHARE = 0.9
"""Of the free memory that runs may take together: the plan's figures are estimates."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def how_many(variants: Sequence[Variant], asked: int | None, runs: int) -> tuple[int, str]:
    """How many processes make the `runs` that are left, and why so many, in words. `asked`: what a
    person wants at most; None = as many as there are cores, on a GPU one. Raises `ExperimentError`
    for a number that is none."""
    if asked is not None and asked < 1:
        raise ExperimentError(f"processes={asked}: must be at least 1.")
    functions = [name for variant in variants for name in variant.functions]
    if functions:
        if (asked or 1) > 1:
            raise ExperimentError(
                f"processes={asked}: the reward {functions[0]!r} is a Python function of this "
                "process. Write it to a file and name it 'file.py:function', or take processes=1."
            )
        return 1, f"one run at a time: the reward {functions[0]!r} lives in this process"
    if asked == 1 or runs < 2:
        return 1, "one run at a time"
    return _that_fit(variants, asked, runs)


def _that_fit(variants: Sequence[Variant], asked: int | None, runs: int) -> tuple[int, str]:
    from workbench.libraries.devices import default_device

    on_gpu = default_device().type != "cpu"
    if asked is None and on_gpu:
        return 1, "one run at a time on the GPU; processes=2 makes two share it"
    wanted = min(asked or cores(), runs)
    reason = f"{asked} were asked for" if asked else f"{cores()} cores"
    need, free = _memory(variants, on_gpu)
    if free is None:
        return wanted, f"{wanted} at once: {reason}; how much memory is free is not known here"
    fitting = max(int(SHARE * free / need), 1)
    memory = f"by the plan a run needs up to {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    if fitting < wanted:
        return fitting, f"{fitting} at once, not {wanted} ({reason}): {memory}"
    return wanted, f"{wanted} at once: {reason}; {memory}"


def _memory(variants: Sequence[Variant], on_gpu: bool) -> tuple[float, int | None]:
    """Bytes of the largest run by the plan, and bytes that are free now."""
    import torch

    from workbench.libraries.devices import default_device
    from workbench.plan import Device, shape_of
    from workbench.plan.planner import peak_of
    from workbench.policy.free_memory import available_bytes

    where = default_device() if on_gpu else torch.device("cpu")
    free = available_bytes(where)
    # No context counts as there already: each process brings its own. Apple's GPU is counted as a
    # CPU, with which it shares the memory.
    kind = "cuda" if where.type == "cuda" else "cpu"
    device = Device(where.type, kind, free)
    needs = {
        (variant.policy, str(variant.config.to_dict())): variant
        for variant in variants
        if variant.control is None
    }
    return max(peak_of(shape_of(v.policy), v.config, device) for v in needs.values()), free
