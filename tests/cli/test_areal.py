"""`workbench areal`, and training with a config from a file."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Command
from compat.areal_files import of_release

from workbench import GRPOConfig, Run
from workbench.compat.areal import read_areal


def test_the_report_and_the_config_in_a_file(workbench: Command, tmp_path: Path) -> None:
    source = of_release(tmp_path, "1.0.4", "'\\x1b[31m': red")
    done = workbench("areal", source, "--save", "ours.yaml", cwd=tmp_path)
    assert "gconfig.n_samples = 4 -> num_generations=4" in done.stdout
    assert "no counterpart here (3):" in done.stdout
    assert "\x1b" not in done.stdout
    assert (
        "workbench train --config ours.yaml --policy Qwen/Qwen2.5-1.5B-Instruct --task gsm8k"
        in done.stdout.splitlines()[-1]
    )
    assert GRPOConfig.load(tmp_path / "ours.yaml") == read_areal(source)[0]


def test_one_object_for_a_program(workbench: Command, tmp_path: Path) -> None:
    source = of_release(tmp_path, "0.3.1")
    printed = workbench("areal", source, "--json", cwd=tmp_path).stdout
    [values] = [json.loads(line) for line in printed.splitlines()]
    assert values["config"]["max_steps"] == 58
    kinds = {setting["place"]: setting["kind"] for setting in values["settings"]}
    assert kinds["actor.eps_clip"] == "same"
    assert values["saved"] is None


def test_problems_turn_epochs_into_steps(workbench: Command, tmp_path: Path) -> None:
    source = of_release(tmp_path, "1.0.4")
    workbench("areal", source, "--problems", 512, "--save", "ours.json", cwd=tmp_path)
    assert GRPOConfig.load(tmp_path / "ours.json").max_steps == 4


def test_training_starts_from_a_config_file(workbench: Command, tmp_path: Path) -> None:
    small = dict(max_steps=1, prompts_per_step=2, num_generations=2, updates_per_rollout=1)
    small |= dict(scale_rewards="none", num_eval_problems=2, learning_rate=1e-5)
    GRPOConfig.from_dict(small).save(tmp_path / "small.yaml")
    workbench(
        *("train", "--config", "small.yaml", "--set", "num_generations=3", "--out", "run"),
        "--json",
        cwd=tmp_path,
    )
    config = Run.open(tmp_path / "run").config
    assert {name: config[name] for name in small} == small | {"num_generations": 3}


def test_a_config_file_beside_resume_is_compared(workbench: Command, tmp_path: Path) -> None:
    """The same command with --resume goes on; another file, or a preset, is refused in words."""
    small = dict(max_steps=1, prompts_per_step=2, num_generations=2, updates_per_rollout=1)
    small |= dict(scale_rewards="none", num_eval_problems=2, learning_rate=1e-5)
    GRPOConfig.from_dict(small).save(tmp_path / "small.yaml")
    GRPOConfig.from_dict(small | {"beta": 0.5, "seed": 3}).save(tmp_path / "other.yaml")
    begun = ("train", "--config", "small.yaml", "--set", "num_generations=3", "--out", "run")
    workbench(*begun, cwd=tmp_path)
    workbench(*begun, "--resume", "--steps", 2, cwd=tmp_path)
    assert Run.open(tmp_path / "run").last_step() == 2
    refused = workbench(
        *("train", "--config", "other.yaml", "--steps", 3, "--out", "run", "--resume"),
        cwd=tmp_path,
        code=2,
    )
    said = " ".join(refused.stderr.split())
    assert "--config other.yaml beside --resume says other settings than the run in run" in said
    assert "num_generations=2 (the run: 3)" in said
    assert "beta=0.5 (the run: 0.15)" in said
    assert "seed=3 (the run: 0)" in said
    assert "scale_rewards" not in said
    refused = workbench(
        "train", "--preset", "dr_grpo", "--out", "run", "--resume", cwd=tmp_path, code=2
    )
    assert "--preset dr_grpo beside --resume" in refused.stderr
    assert Run.open(tmp_path / "run").last_step() == 2


def test_a_config_file_and_a_preset_are_refused(workbench: Command, tmp_path: Path) -> None:
    refused = workbench("train", "--config", "a.yaml", "--preset", "real", cwd=tmp_path, code=2)
    assert "Leave one of them out" in refused.stderr
    refused = workbench("train", "--config", "a.yaml", cwd=tmp_path, code=2)
    assert "--config a.yaml cannot be read: No such file" in refused.stderr
    assert not (tmp_path / "runs").exists()
