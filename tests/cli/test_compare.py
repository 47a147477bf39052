"""`workbench compare`: an experiment is made, gone on with, and shown; what is asked wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.commands.compare import parse_variant
from workbench.config import ConfigError
from workbench.experiment import Experiment
from workbench.runs import Run

QUICK = (
    *("--steps", 1, "--problems", 6, "--set", "prompts_per_step=2", "--set", "num_generations=4"),
    *("--set", "updates_per_rollout=2", "--set", "max_completion_length=8", "--jobs", 1),
)


def test_what_a_variant_is_written_as() -> None:
    assert parse_variant("plain") == ("plain", {})
    assert parse_variant("a:epsilon=0.05, beta=0,measure_kl=false") == (
        "a",
        {"epsilon": 0.05, "beta": 0, "measure_kl": False},
    )
    text = (
        'b:method=rloo,reward=answer,reward="cosine_scaled:max_len=48,a=1",reward_weights=[1,0.5]'
    )
    assert parse_variant(text) == (
        "b",
        {
            "method": "rloo",
            "reward": ["answer", "cosine_scaled:max_len=48,a=1"],
            "reward_weights": [1, 0.5],
        },
    )
    with pytest.raises(ConfigError, match="'0.05' is no KEY=VALUE"):
        parse_variant("a:0.05")


def test_it_is_made_shown_and_gone_on_with(tmp_path: Path, workbench) -> None:
    asked = ("compare", "--variant", "plain", "--variant", "rloo:method=rloo,reward=answer")
    made = workbench(
        *asked, *QUICK, "--seeds", 1, "--out", "e", "--controls", "random", cwd=tmp_path
    )
    assert "One seed cannot tell" in " ".join(made.stdout.split())
    assert "a coin's throw" in " ".join(made.stdout.split())
    plain = Run.open(tmp_path / "e/plain-seed0")
    assert plain.config["num_eval_problems"] == 6
    assert Run.open(tmp_path / "e/rloo-seed0").config["advantage_baseline"] == "leave_one_out"
    assert Run.open(tmp_path / "e/rloo-seed0").meta.reward_names == ["answer_reward"]
    before = plain.path.read_bytes()
    shown = workbench("compare", "e", "--json", cwd=tmp_path)
    values = json.loads(shown.stdout)
    assert [row["name"] for row in values["rows"]] == ["plain", "rloo", "random"]
    assert values["whole"]
    assert values["differences"][0]["interval"] == [None, None]
    by_reward = workbench("compare", "e", "--metric", "reward", "--json", cwd=tmp_path)
    assert json.loads(by_reward.stdout)["metric"] == "reward"
    more = workbench("compare", "e", "--resume", "--seeds", 2, "--jobs", 1, "--json", cwd=tmp_path)
    assert json.loads(more.stdout)["differences"][0]["seeds"] == 2
    assert plain.path.read_bytes() == before
    assert Experiment.open(tmp_path / "e").plan.seeds == (0, 1)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("nothing to compare", ()),
        ("named twice", ("--variant", "a", "--variant", "a:beta=0")),
        ("seed is the same for all", ("--variant", "a:seed=1")),
        ("task is the same for all", ("--variant", "a:task=gsm8k")),
        ("is shown as it is stored", (".", "--variant", "a")),
        ("is shown as it is stored", (".", "--steps", 4, "--resume")),
        ("--reward", (".", "--reward", "answer")),
        ("--resume --seeds N", (".", "--seeds", 1)),
        ("holds no experiment", (".",)),
        ("control 'coin' is unknown", ("--variant", "a", "--controls", "coin")),
        ("epsilonn", ("--variant", "a:epsilonn=1")),
    ],
)
def test_what_is_asked_wrongly_is_said(words: str, arguments, tmp_path: Path, workbench) -> None:
    done = workbench("compare", *arguments, cwd=tmp_path, code=2)
    assert words in done.stderr
