"""`workbench train` says which settings it chose for a policy beside those that were named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from workbench.commands.train import _chosen, _method_words, make_config

Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""

QUICK = {"prompts_per_step": 2, "num_generations": 4, "max_completion_length": 4}


def test_the_updates_of_another_policy_are_said(
    workbench: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    named = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    asked = ["--policy", tiny_folder, "--steps", 1, "--set", "num_eval_problems=2", *named]
    done = workbench("train", "--out", "r", *asked, cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert "settings for this policy, unless named: " in said
    assert "updates_per_rollout=2" in said
    named_too = workbench("train", "--out", "s", "--preset", "real", *asked, cwd=tmp_path)
    assert "settings for this policy" not in named_too.stdout


def test_what_was_named_and_what_is_usual_is_not_said() -> None:
    usual = {"max_steps": 3}
    assert _chosen(make_config("embedded", None, usual, None), usual) == ""
    named = {"updates_per_rollout": 1}
    assert "updates_per_rollout" not in _chosen(make_config("org/model", None, named, None), named)


def test_the_learning_rate_of_an_adapter_is_said() -> None:
    named = {"lora_rank": 8}
    config = make_config("embedded", None, named, None)
    assert _chosen(config, named) == f"learning_rate={config.learning_rate}"


def test_what_the_method_sets_is_said_apart() -> None:
    named = {"method": "ppo"}
    config = make_config("embedded", None, named, None)
    assert _chosen(config, named) == ""
    said = _method_words(config, resume=False)
    assert said.startswith("method ppo: each token is compared with what a critic expected of it")
    assert said.endswith("it sets scale_rewards=none, advantage_baseline=none, beta=0.0")
    assert "sets" not in _method_words(config, resume=True)
    for_a_model = _chosen(make_config("org/model", None, named, None), named)
    assert "scale_rewards" not in for_a_model
    assert "updates_per_rollout" in for_a_model


def test_a_run_names_its_method_first_and_the_list_of_runs_too(
    workbench: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    named = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    asked = ["--policy", tiny_folder, "--steps", 1, "--set", "num_eval_problems=2", *named]
    done = workbench("train", "--out", "runs/r", "--method", "rloo", *asked, cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert said.startswith("method rloo: each answer is compared with the mean of the others")
    assert "rloo" in workbench("runs", cwd=tmp_path).stdout
