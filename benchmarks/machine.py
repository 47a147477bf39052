"""What machine a benchmark ran on."""

from __future__ import annotations

import platform
from pathlib import Path


def machine_name() -> str:
    """The processor, and whether it multiplies bfloat16 numbers by itself."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        return platform.processor() or platform.machine()
    facts = dict(line.split("\t", 1) for line in cpu.read_text().splitlines() if "\t" in line)
    name = facts.get("model name", platform.machine()).strip("\t: ")
    return f"{name}, AVX512-bf16" if "avx512_bf16" in facts.get("flags", "") else name


def machine_class() -> str:
    """A: a processor with AVX2, for which bfloat16 is slower than float32. B: AVX512-BF16 or AMX.
    Else "other". Speeds of the two are not comparable."""
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().split()) if cpu.exists() else set()
    if flags & {"avx512_bf16", "amx_bf16"}:
        return "B"
    return "A" if "avx2" in flags else "other"
