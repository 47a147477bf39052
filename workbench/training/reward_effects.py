"""What a reward function does to torch must not reach the step that goes on after it.

Random generators are not among it: a step draws from a generator of its own, and the global ones,
which a reward may use and seed, are kept in each checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from workbench.rewards import RewardWarning


def _set_default_device(device: torch.device) -> None:
    # The CPU is what there is without a setting, which costs each call a little.
    torch.set_default_device(None if device.type == "cpu" else device)


Setting = tuple[Callable[[], Any], Callable[[Any], Any]]
SETTINGS: dict[str, Setting] = {
    # Without gradients the update would fail, far from the reward that switched them off.
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    # The others would change the step's numbers and its speed without a word.
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_default_device": (torch.get_default_device, _set_default_device),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.set_float32_matmul_precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch.use_deterministic_algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.autograd.set_detect_anomaly": (
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
}
"""What changes a setting, by its name -> how it is read and set."""


@contextmanager
def torch_settings_kept(names: Sequence[str]) -> Iterator[None]:
    """Inside, reward functions are called, those of `names`; what they changed of `SETTINGS` is put
    back, and said in a `RewardWarning`, and so is an inference mode that they did not leave."""
    # Torch has no call that ends an inference mode which was entered elsewhere. Leaving an outer
    # one restores what was there before it, whatever was entered inside.
    with torch.inference_mode(False):
        before = {name: read() for name, (read, _) in SETTINGS.items()}
        try:
            yield
        finally:
            if torch.is_inference_mode_enabled():
                _say(names, "torch.inference_mode", True, False)
                # It is the mode that switched them off.
                torch.set_grad_enabled(before["torch.set_grad_enabled"])
            for name, (read, write) in SETTINGS.items():
                now = read()
                if now != before[name]:
                    write(before[name])
                    _say(names, name, now, before[name])


def _say(names: Sequence[str], setting: str, now: Any, before: Any) -> None:
    warnings.warn(
        f"one of the reward functions ({', '.join(names)}) called {setting}({now!r}), "
        f"which would hold for the training too. It is {before!r} again; let the "
        "function set it back itself.",
        RewardWarning,
        stacklevel=4,
    )
