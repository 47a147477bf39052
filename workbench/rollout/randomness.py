"""Random numbers of torch's global generators, put aside and put back."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def fork_rng(device: torch.device | None = None) -> AbstractContextManager[None]:
    """`torch.random.fork_rng` for the CPU and `device` alone: by itself it would save the state of
    every GPU, and warn of many.

    None means CUDA's current device where there is one.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
