"""`workbench tornado`: from a checkpoint of a stored run, which is read and not touched."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.commands.tornado import knobs_of
from workbench.config import ConfigError, GRPOConfig
from workbench.runs.tornado import open_tornado

Command = Callable[..., subprocess.CompletedProcess[str]]
QUICK = {
    "prompts_per_step": 2,
    "num_generations": 4,
    "max_completion_length": 8,
    "num_eval_problems": 4,
    "updates_per_rollout": 2,
    "eval_steps": 0,
    "save_steps": 2,
}


def test_from_a_checkpoint_and_the_run_is_as_it_was(workbench: Command, tmp_path: Path) -> None:
    settings = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    workbench("train", "--out", "run", "--steps", 5, *settings, cwd=tmp_path)
    record = tmp_path / "run/run.sqlite"
    before = hashlib.sha256(record.read_bytes()).hexdigest()

    few = ["--steps", 2, "--knob", "beta=0,0.3", "--problems", 4]
    done = workbench("tornado", "run", *few, "--html", "page.html", cwd=tmp_path)
    assert "From step 2 of run, 2 steps with each knob down and up" in done.stdout
    assert "of 6 branches" in done.stderr
    assert "<svg" in (tmp_path / "page.html").read_text()
    path = tmp_path / "run/tornado/step-000002.json"
    assert f"Kept in {path}" in done.stdout
    assert [(b.value, b.before) for b in open_tornado(path).of("beta")] == [
        (0, GRPOConfig().beta),
        (0.3, GRPOConfig().beta),
    ]

    again = json.loads(workbench("tornado", "run", *few, "--json", cwd=tmp_path).stdout)
    assert again["branches"] == json.loads(path.read_text())["tornado"]["branches"]
    assert hashlib.sha256(record.read_bytes()).hexdigest() == before

    refused = workbench("tornado", "run", "--step", 3, cwd=tmp_path, code=2)
    assert "no checkpoint of step 3. There are those of the steps 0, 2, 4, 5" in refused.stderr
    refused = workbench("tornado", "run", "--step", 4, *few, cwd=tmp_path, code=2)
    assert "1 steps are left of max_steps=5" in refused.stderr
    refused = workbench("tornado", "nowhere", cwd=tmp_path, code=2)
    assert "'nowhere' is no run's folder" in refused.stderr


def test_knobs_as_they_are_written() -> None:
    assert knobs_of(None) is None
    assert knobs_of(["beta", "epsilon"]) == ["beta", "epsilon"]
    assert knobs_of(["beta=0,1e-2", "scale_rewards=batch,none"]) == {
        "beta": [0, 1e-2],
        "scale_rewards": ["batch", "none"],
    }
    assert knobs_of(["epsilon_high=none"]) == {"epsilon_high": [None]}
    with pytest.raises(ConfigError, match="give values for all of them, or for none"):
        knobs_of(["beta", "epsilon=0.1"])
