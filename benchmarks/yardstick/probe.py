"""The machine's rates in the process and on the clock that its phases are measured with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

EDGE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the product."""
COPIED = {"cpu": 2**26, "cuda": 2**30}
"""Bytes of the copy, more than caches hold."""
REPEATS = 5
CLOCKS: dict[str, Callable[[], float]] = {"cpu": time.process_time, "wall": time.perf_counter}


def rates(dtype: str, clock: str, device: str) -> dict[str, float]:
    """Operations a second of one product, bytes a second of one copy: the best of a few, since
    other programs only make it slower. About half a second."""
    now = CLOCKS[clock]
    edge, copied = EDGE[device], COPIED[device]
    number_format = getattr(torch, dtype)
    a, b = (torch.randn(edge, edge, device=device).to(number_format) for _ in range(2))
    source = torch.ones(copied // 4, device=device)
    target = torch.empty_like(source)
    return {
        "flops": 2 * edge**3 / quickest(lambda: a @ b, now),
        "bandwidth": 2 * copied / quickest(lambda: target.copy_(source), now),
    }


def quickest(call: Callable[[], Any], now: Callable[[], float]) -> float:
    """Seconds of the best call after one that warms up."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    call()
    seconds = []
    for _ in range(REPEATS):
        wait()
        began = now()
        call()
        wait()
        seconds.append(now() - began)
    return min(seconds)
