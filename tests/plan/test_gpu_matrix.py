"""The benchmark for a machine with a GPU, run here with one small model, so that it works at once
where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the script reads Linux's /proc")
def test_every_cell_is_measured_beside_its_plan(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "gpu_matrix.py"
    command = [
        sys.executable,
        str(script),
        "--device",
        "cpu",
        "--tiny",
        "--out",
        str(tmp_path / "found.json"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [(r["mode"], r["engine"]) for r in found] == [
        (m, e) for m in ("full", "LoRA", "QLoRA") for e in ("native", "transformers")
    ]
    for result in found:
        assert "failed" not in result, result
        assert result["seconds"]["rollout"] > 0 < result["seconds"]["update"]
        assert (
            set(result["plan_seconds"]["trial"])
            == set(result["limit_seconds"])
            == {"rollout", "logprobs", "update"}
        )
        assert result["peak_bytes"]["update"] > 0 < result["plan_bytes"]["update"]
