"""The states of every random generator that a step may draw from, for a checkpoint and back.

Tensors go into a file of tensors; what Python and NumPy keep are plain values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_tensors(generator: torch.Generator) -> dict[str, Tensor]:
    """The states of the rollout's generator and of torch's global ones."""
    tensors = {"rollout": generator.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda.{device}"] = state
    if torch.backends.mps.is_available():
        tensors["mps"] = torch.mps.get_rng_state()
    return tensors


def load_random_tensors(generator: torch.Generator, tensors: dict[str, Tensor]) -> None:
    """Put those states back."""
    generator.set_state(tensors["rollout"])
    torch.set_rng_state(tensors["torch"])
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device in range(devices):
        # A checkpoint may come from a machine with fewer GPUs.
        if f"cuda.{device}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda.{device}"], device)
    if "mps" in tensors and torch.backends.mps.is_available():
        torch.mps.set_rng_state(tensors["mps"])


def random_values() -> dict[str, Any]:
    """The states of Python's and NumPy's global generators, which a reward function may use, as
    plain values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }


def load_random_values(values: dict[str, Any]) -> None:
    """Put those states back."""
    version, words, gauss = values["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))


@contextmanager
def global_state_kept() -> Iterator[None]:
    """Inside, the global generators of torch, Python and NumPy may be drawn from; afterwards they
    are where they were."""
    unused = torch.Generator()
    tensors = random_tensors(unused)
    values = random_values()
    try:
        yield
    finally:
        load_random_tensors(unused, tensors)
        load_random_values(values)
