"""Which device torch computes on, and what a kind of device lacks.

Apple's GPUs ("mps") have no float64, count no memory as CUDA does and have a random generator of
their own. Held against a stand-in by `tests/libraries/test_devices.py`: no machine with one was at
hand, and the doctor says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workbench.errors import WorkbenchError

VARIABLE = "WORKBENCH_DEVICE"
"""The environment variable that names the device where the code names none."""
KINDS = ("cpu", "cuda", "mps")
WITHOUT_FLOAT64 = ("mps",)


class DeviceError(WorkbenchError, ValueError):
    """A device that is not there, or cannot do what is asked."""


def default_device() -> torch.device:
    """As `WORKBENCH_DEVICE` says, else CUDA where there is one, else Apple's GPU where there is
    one, else the CPU. Raises `DeviceError` for a name that is no device."""
    if named := os.environ.get(VARIABLE):
        if named.partition(":")[0] not in KINDS:
            raise DeviceError(f"{VARIABLE}={named!r} is no device. Use {', '.join(KINDS)}.")
        return torch.device(named)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def has_float64(device: torch.device) -> bool:
    """Whether that kind of device computes in float64."""
    return device.type not in WITHOUT_FLOAT64


def exact_device(device: torch.device) -> torch.device:
    """Where sums in float64 over tensors of `device` are taken: there, or on the CPU."""
    return device if has_float64(device) else torch.device("cpu")


def need_float64(device: torch.device, what: str) -> None:
    """Raises `DeviceError` where `what` would have to be computed in float64 on a device without
    it."""
    if not has_float64(device):
        raise DeviceError(
            f"{what} is computed in float64, which {device} does not have. Load the policy with "
            f"device='cpu', or set {VARIABLE}=cpu."
        )


def has_mps_bfloat16() -> bool:
    """True where macOS is new enough for bfloat16 on its GPU (14, Sonoma)."""
    return bool(torch.backends.mps.is_macos_or_newer(14, 0))


def free_mps_bytes() -> int:
    """Bytes that tensors can still take of what Metal recommends as the most: memory is shared with
    the CPU. What torch keeps for its next tensors counts as free."""
    return max(
        torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory(),
        0,
    )


def empty_caches() -> None:
    """Give back what torch keeps of a GPU's memory for its next tensors."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def mps_generator_kept() -> Iterator[None]:
    """Inside, the generator of Apple's GPU may be drawn from; afterwards it is where it was."""
    before = torch.mps.get_rng_state()
    try:
        yield
    finally:
        torch.mps.set_rng_state(before)
