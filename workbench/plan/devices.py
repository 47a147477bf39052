"""What a plan knows of a device: how much memory there is, and how fast it could be at best.

The figures of the GPUs are the makers' published ones (data sheets; dense, without sparsity), in
bytes, bytes per second and operations per second. What of the memory a program gets is less than
the number on the box: `usable` is the capacity that the driver reports, after error correction.
Rates of a CPU are measured on the spot by `measured_cpu`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.errors import WorkbenchError


class PlanError(WorkbenchError, ValueError):
    """A plan that cannot be made: says what was wrong and what to do."""


@dataclass(frozen=True)
class Device:
    """One device."""

    name: str
    kind: str
    """"cuda" or "cpu"."""
    memory: int | None
    """Bytes that a program can get; None where nobody says."""
    bandwidth: float | None = None
    """Bytes per second of its memory; None = unknown."""
    flops: tuple[tuple[str, float], ...] = ()
    """Operations per second by number format; empty = unknown."""
    has_bfloat16: bool = True
    """Whether it computes in bfloat16 itself."""
    source: str = "no rates are known"
    """Where the rates come from."""
    measured: bool = False
    """True when the rates were measured on the device itself, so that they need no range."""
    total: int | None = None
    """Bytes of the whole device, where `memory` is what is free of it now; None = they are the
    same."""
    has_context: bool = False
    """True where `memory` was asked after this process had its CUDA context, which is missing from
    it already."""

    @property
    def whole(self) -> int | None:
        """Bytes of the whole device, of which vLLM takes its share."""
        return self.memory if self.total is None else self.total

    def flops_of(self, dtype: str) -> float | None:
        """Operations per second in that number format, or None."""
        return dict(self.flops).get(dtype)


GIB = 1024**3


def _gpu(
    name: str, gib: float, terabytes: float, fp32: float, half: float, bfloat16: bool = True
) -> Device:
    formats = [("float32", fp32 * 1e12), ("float16", half * 1e12)] + (
        [("bfloat16", half * 1e12)] if bfloat16 else []
    )
    return Device(
        name,
        "cuda",
        int(gib * GIB),
        terabytes * 1e12,
        tuple(formats),
        bfloat16,
        "the maker's data sheet (peak figures, not measured)",
    )


GPUS = {
    d.name: d
    for d in (
        _gpu("T4", 14.6, 0.32, 8.1, 65, bfloat16=False),
        _gpu("L4", 22.0, 0.30, 30.3, 121),
        _gpu("A100-40", 39.4, 1.555, 19.5, 312),
        _gpu("A100-80", 79.1, 2.039, 19.5, 312),
        _gpu("H100", 79.1, 3.35, 67, 989),
        _gpu("H200", 139.8, 4.8, 67, 989),
    )
}
"""The devices that have a name."""
ALIASES = {"A100": "A100-40", "A100-40GB": "A100-40", "A100-80GB": "A100-80"}
"""A100 alone is taken for the smaller of the two, which is what fits on both."""


def device_named(name: str | None) -> Device:
    """The device called `name`: one of `GPUS`, a size such as "24GB", "cpu", or None for the one
    that is here.

    A bare size has no rates. Raises `PlanError`.
    """
    if name is None:
        return this_device()
    text = name.strip().upper()
    text = ALIASES.get(text, text)
    if text in GPUS:
        return GPUS[text]
    if text == "CPU":
        return measured_cpu()
    size = re.fullmatch(r"(\d+(?:\.\d+)?)\s*G(?:I?B)?", text)
    if size is None or float(size[1]) == 0:
        raise PlanError(
            f"--gpu {name!r} is unknown. Use {', '.join(GPUS)}, a size such as 24GB, or cpu."
        )
    return Device(
        f"{size[1]} GB",
        "cuda",
        int(float(size[1]) * GIB * 0.96),
        source="a bare size says nothing about speed",
    )


def this_device() -> Device:
    """The GPU of this machine with the memory that is free now and measured rates, Apple's without
    rates, or its CPU."""
    import torch

    if not torch.cuda.is_available():
        return _apple_gpu() if torch.backends.mps.is_available() else measured_cpu()
    from workbench.plan.rates import measure

    rates, device = measure("cuda"), torch.device("cuda")
    torch.cuda.empty_cache()  # what measuring took is free again only then
    free, total = torch.cuda.mem_get_info(device)
    return Device(
        torch.cuda.get_device_name(device),
        "cuda",
        free,
        rates.bandwidth,
        tuple(rates.flops.items()),
        torch.cuda.is_bf16_supported(including_emulation=False),
        rates.source,
        measured=True,
        total=total,
        has_context=True,
    )


def _apple_gpu() -> Device:
    """Apple's GPU, which shares its memory with the CPU, and is counted as one: what torch
    allocates there beside the tensors, and how fast it is, was never measured."""
    import torch

    from workbench.policy.free_memory import available_bytes

    return Device("Apple's GPU (mps)", "cpu", available_bytes(torch.device("mps")))


def measured_cpu() -> Device:
    """This machine's CPU: the memory that is free now, and rates measured at the thread count in
    force."""
    import torch

    from workbench.plan.rates import measure
    from workbench.policy.free_memory import available_bytes

    rates = measure("cpu")
    return Device(
        "cpu",
        "cpu",
        available_bytes(torch.device("cpu")),
        rates.bandwidth,
        tuple(rates.flops.items()),
        True,
        rates.source,
        measured=True,
    )


def cpu_without_rates(memory: int | None = None) -> Device:
    """A CPU for which nothing is measured: memory only. Quick, for checks that need no seconds."""
    return Device("cpu", "cpu", memory)
