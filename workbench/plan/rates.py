"""Two rates of a machine, measured in a moment: how fast it reads memory, and how fast it
multiplies matrices.

Both are what a large operation reaches at the thread count in force, so they are limits for the
small ones of a rollout.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rates:
    """bandwidth in bytes per second, flops in operations per second by number format, source in
    words."""

    bandwidth: float
    flops: dict[str, float]
    source: str


@functools.lru_cache(maxsize=4)
def measure(kind: str) -> Rates:
    """The rates of "cpu" or "cuda"; measured once a process (about half a second)."""
    device = torch.device(kind)
    formats = [torch.float32, torch.bfloat16]
    if kind == "cuda":
        half = (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
        formats = [torch.float32, half]
    flops = {str(f).removeprefix("torch."): _matmul_rate(device, f) for f in formats}
    threads = f", {torch.get_num_threads()} thread(s)" if kind == "cpu" else ""
    return Rates(
        _copy_rate(device),
        flops,
        f"measured on this machine just now{threads}: one matrix product and one copy",
    )


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    n = 8192 if device.type == "cuda" else 768
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return 2 * n**3 / quickest(lambda: a @ b, device)


def _copy_rate(device: torch.device) -> float:
    source = torch.ones((2**30 if device.type == "cuda" else 2**26) // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / quickest(lambda: target.copy_(source), device)


def quickest(
    call: Callable[[], object], device: torch.device, repeats: int = 5, enough: float = float("inf")
) -> float:
    """Seconds of the best of several calls, after one that warms up: other programs only make it
    slower. No further call is begun once they have taken `enough` seconds."""
    best, spent = float("inf"), 0.0
    for i in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds) if i else best, spent + seconds
        if i and spent > enough:
            break
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
