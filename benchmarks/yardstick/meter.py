"""Where the seconds of a step go: CPU and wall clock by phase, tokens that passed the layers, and
memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from workbench.libraries.hf_peft import plain_model

STEP = "step"


class Meter:
    """Adds up, by phase, what is spent while `with meter(phase)` is open.

    Tokens are counted where they enter the first layer's attention: padding counts, and what is
    computed twice counts twice. (At the layer's own door recomputed activations would be missed,
    since checkpointing goes on inside of it.)
    """

    def __init__(self, model: Any) -> None:
        self.tokens = 0
        self.device = model.get_input_embeddings().weight.device.type
        self.phases: dict[str, dict[str, float]] = {}
        self.lengths: list[int] = []
        self.prompts: list[int] = []
        self.watch(model)

    def watch(self, model: Any) -> None:
        """Count what passes this model too: a reference that is a copy of its own, for one."""
        first_attention(model).register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        self.tokens += hidden.shape[0] * hidden.shape[1]

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """What is inside belongs to `phase`."""
        before = self._now()
        try:
            yield
        finally:
            spent = self.phases.setdefault(phase, dict.fromkeys(before, 0.0))
            for name, value in self._now().items():
                spent[name] += value - before[name]

    def _now(self) -> dict[str, float]:
        # A GPU goes on by itself after the call has returned.
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return {
            "cpu": time.process_time(),
            "wall": time.perf_counter(),
            "tokens": float(self.tokens),
        }

    def take(self) -> dict[str, Any]:
        """What one step spent and sampled; counting begins anew."""
        taken = {
            "phases": self.phases,
            "lengths": self.lengths,
            "prompts": self.prompts,
            "memory_mb": memory_now(self.device),
        }
        self.phases, self.lengths, self.prompts = {}, [], []
        return taken


def first_attention(model: Any) -> Any:
    """The attention of the first layer, an adapter around the model taken off."""
    plain = plain_model(model)
    return plain.get_decoder().layers[0].self_attn


def memory_now(device: str) -> float:
    """MB that this process has, on a GPU that torch's allocator has handed out."""
    if device == "cuda":
        return torch.cuda.memory_allocated() / 1024**2
    return _of_process("VmRSS")


def memory_peak(device: str) -> float:
    """The most that it has had."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1024**2
    return _of_process("VmHWM")


def _of_process(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) / 1024
