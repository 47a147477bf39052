"""The promise of the front page: the default run learns, and learns from the rewards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def train(tmp_path: Path, *arguments: str) -> dict:
    command = [sys.executable, "-m", "workbench", "train", "--json", "--out", "r", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_default_run_goes_from_a_third_to_nine_tenths(tmp_path: Path) -> None:
    result = train(tmp_path, "--seed", "11")
    assert result["problems"] >= 1000
    assert 0.25 <= result["accuracy_before"] <= 0.45
    assert result["accuracy_after"] >= 0.90


def test_rewards_dealt_out_at_random_teach_nothing(tmp_path: Path) -> None:
    """The habits are settled so far apart that drift alone turns few answers over: this control
    stays within five points of where it began, at each evaluation (`benchmarks/controls.py`: eight
    of ten seeds do, the others reach eight)."""
    result = train(tmp_path, "--seed", "11", "--shuffle-rewards", "--steps", "40")
    run = Run.open(tmp_path / "r")
    steps = run.steps()
    reward = sum(steps[f"rewards/shuffled_{name}_reward"] for name in ("format", "answer"))
    assert reward.iloc[-10:].mean() <= reward.iloc[:10].mean() + 0.25
    assert (run.evaluations().accuracy - result["accuracy_before"]).abs().max() <= 0.05


def test_lora_learns_too(tmp_path: Path) -> None:
    result = train(tmp_path, "--seed", "11", "--set", "lora_rank=8", "--set", "learning_rate=3e-3")
    assert result["accuracy_after"] >= result["accuracy_before"] + 0.2


@pytest.mark.parametrize(
    "options",
    [["--lora"], ["--lora", "--quantization", "nf4"], ["--lora", "8", "--rollout", "transformers"]],
    ids=" ".join,
)
def test_one_command_line_switches_what_is_trained_and_how(
    tmp_path: Path, options: list[str]
) -> None:
    """The adapter's learning rate is ten times that of all weights by itself: 24 steps gain 20
    points and more."""
    result = train(
        tmp_path,
        *options,
        "--seed",
        "11",
        "--steps",
        "24",
        "--set",
        "eval_steps=0",
        "--set",
        "num_eval_problems=400",
    )
    assert result["accuracy_after"] >= result["accuracy_before"] + 0.2
    assert Run.open(tmp_path / "r").config["learning_rate"] == pytest.approx(2e-3)
