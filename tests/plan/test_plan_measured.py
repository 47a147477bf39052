"""Plans against processes that train: small ones here, twenty in
benchmarks/plan_against_peaks.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "plan_against_peaks.py"
    spec = importlib.util.spec_from_file_location("plan_against_peaks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc/self/clear_refs")
@pytest.mark.parametrize("case", ["20M full, few tokens", "20M LoRA, few tokens"])
def test_a_plan_is_within_15_percent_of_the_measured_peak(case: str) -> None:
    result = benchmark().measure(case)
    assert abs(result["error"]) <= 0.15, (
        result["measured"]["peaks_mb"],
        result["predicted"]["phases"],
    )
    phases = {p["name"]: p["bytes"] for p in result["predicted"]["phases"]}
    assert max(phases, key=phases.get) == result["predicted"]["peak_phase"] == "update"
