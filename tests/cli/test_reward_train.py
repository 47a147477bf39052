"""`workbench reward train` as a process: what it prints, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def workbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", "reward", "train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_folder_that_holds_something_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    done = workbench("--out", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"error: --out {tmp_path}: there is something already. Name a new folder for the reward "
        "model."
    )


@pytest.mark.slow
def test_a_reward_model_is_trained_judged_recorded_and_trained_on(tmp_path: Path) -> None:
    out = tmp_path / "judge"
    sizes = ["--problems", "24", "--samples", "4", "--roll-ins", "2"]
    done = workbench("--kind", "process", *sizes, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert "learning_rate=0.0005 for the embedded policy" in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["held_out"]["accuracy"]["n"] == 6
    low, high = told["held_out"]["accuracy"]["interval"]
    assert low <= told["held_out"]["accuracy"]["value"] <= high
    assert told["steps_by"] == "equations"
    noted = json.loads((out / "reward_model.json").read_text())
    assert {name: noted[name] for name in told} == told

    command = [sys.executable, "-m", "workbench", "train", "--steps", "1", "--json"]
    rewards = ["--reward", f"model:{out}", "--reward", "answer", "--set", "reward_weights=[1,0]"]
    run = ["--out", str(tmp_path / "run"), "--set", "num_eval_problems=4"]
    trained = subprocess.run(
        [*command, *rewards, *run], capture_output=True, text=True, check=False
    )
    assert trained.returncode == 0, trained.stderr
    assert "model_judge" in (tmp_path / "run" / "run.sqlite").read_bytes().decode("latin1")


@pytest.mark.slow
def test_the_words_name_accuracy_interval_and_chance(tmp_path: Path) -> None:
    out = tmp_path / "judge"
    done = workbench("--problems", "40", "--samples", "4", "--out", str(out))
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "pairs reward model of embedded on arithmetic: " in words
    assert "95 % interval" in words
    assert "chance 50.0%" in words
    assert f"workbench train --reward model:{out} --reward answer" in done.stdout
