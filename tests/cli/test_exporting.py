"""`workbench export trl` and `verl`: a run as it began, or a config, as a folder to train from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from workbench.config import GRPOConfig
from workbench.runs import KnobChange, RunWriter, StepRecord

Command = Callable[..., CompletedProcess[str]]


def write_run(path: Path, config: dict[str, Any] | None = None, **facts: Any) -> None:
    """A record of two steps, in the second of which beta was moved."""
    began = GRPOConfig(num_eval_problems=5, seed=3, beta=0.005)
    made = began.to_dict() if config is None else config
    about = dict(policy="embedded", task="arithmetic", reward_names=["format_reward"])
    with RunWriter.create(path, config=made, **(about | facts)) as writer:
        writer.write_step(StepRecord(step=1, metrics={"reward": 1.0}))
        moved = KnobChange("beta", 0.005, 0.02)
        writer.write_step(StepRecord(step=2, metrics={"reward": 1.0}, knobs=[moved]))
        writer.finish()


def test_a_run_is_exported_as_it_began(tmp_path: Path, workbench: Command) -> None:
    write_run(tmp_path / "r")
    said = workbench("export", "trl", "r", cwd=tmp_path).stdout
    assert "cd r-trl && python train.py" in said
    settings = json.loads((tmp_path / "r-trl" / "config.json").read_text())["GRPOConfig"]
    assert (settings["beta"], settings["seed"]) == (0.005, 3)
    readme = (tmp_path / "r-trl" / "README.md").read_text()
    assert "beta was moved from 0.005 to 0.02 at step 2" in readme
    assert "beta was moved" in said
    assert "Exported from `r`" in readme
    assert len((tmp_path / "r-trl" / "eval.jsonl").read_text().splitlines()) == 5
    assert "format_reward" in (tmp_path / "r-trl" / "rewards.py").read_text()


def test_a_config_is_exported_with_what_is_named_beside_it(
    tmp_path: Path, workbench: Command
) -> None:
    GRPOConfig(max_steps=7).save(tmp_path / "mine.yaml")
    words = ["--reward", "answer", "--set", "updates_per_rollout=2", "--out", "there"]
    workbench("export", "trl", "mine.yaml", "--task", "arithmetic_longer", *words, cwd=tmp_path)
    settings = json.loads((tmp_path / "there" / "config.json").read_text())["GRPOConfig"]
    assert settings["max_steps"] == 14
    assert "`arithmetic_longer`" in (tmp_path / "there" / "README.md").read_text()


def test_a_run_goes_to_verl_too(tmp_path: Path, workbench: Command) -> None:
    write_run(tmp_path / "r")
    said = workbench("export", "verl", "r/run.sqlite", cwd=tmp_path).stdout
    assert "cd r-verl && bash train.sh" in said
    lines = (tmp_path / "r-verl" / "overrides.txt").read_text().splitlines()
    assert "actor_rollout_ref.actor.kl_loss_coef=0.005" in lines
    assert "WEIGHTS" in (tmp_path / "r-verl" / "rewards.py").read_text()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (dict(reward_names=["shuffled_answer_reward"]), "is a control run"),
        (dict(config={"num_generations": 4}, policy=""), "not its settings"),
        (dict(reward_names=["mine"]), "--reward FILE.py:mine"),
        (dict(task="notes"), "--task notes.jsonl"),
        (dict(policy="gone/away/now"), "--policy"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, workbench: Command, facts: dict[str, Any], says: str
) -> None:
    write_run(tmp_path / "r", **facts)
    said = workbench("export", "trl", "r", cwd=tmp_path, code=2).stderr
    assert says in said
    assert not (tmp_path / "r-trl").exists()
