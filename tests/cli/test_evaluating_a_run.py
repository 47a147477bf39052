"""`workbench eval --policy RUN/policy`: asked of what the run was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.commands.evaluate import _task_of

Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""

SETTINGS = ["prompts_per_step=2", "num_generations=4", "max_completion_length=8"]
QUICK = [word for pair in [*SETTINGS, "num_eval_problems=2"] for word in ("--set", pair)]


@pytest.fixture
def trained(workbench: Command, tiny_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A run of one step on a task; the folder of its policy."""

    def train(task: str) -> Path:
        asked = ["--policy", tiny_folder, "--task", task, "--steps", 1, *QUICK]
        workbench("train", "--out", "run", *asked, cwd=tmp_path)
        return tmp_path / "run" / "policy"

    return train


def test_a_task_known_by_name_is_the_runs_own(workbench: Command, trained, tmp_path: Path) -> None:
    policy = trained("arithmetic_longer")
    done = workbench("eval", "--policy", policy, "--n", 2, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["task"] == "arithmetic_longer"
    assert "The task is arithmetic_longer, that of the policy's run" in done.stderr
    named = workbench(
        "eval", "--policy", policy, "--task", "arithmetic", "--n", 2, "--json", cwd=tmp_path
    )
    assert json.loads(named.stdout)["task"] == "arithmetic"
    assert "The task is" not in named.stderr


def test_a_task_from_a_file_has_to_be_named(workbench: Command, trained, tmp_path: Path) -> None:
    rows = [json.dumps({"question": f"{n} + 1?", "answer": str(n + 1)}) for n in range(8)]
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    policy = trained("mine.jsonl")
    done = workbench("eval", "--policy", policy, "--n", 2, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["task"] == "arithmetic"
    (line,) = [line for line in done.stderr.splitlines() if "trained on another task" in line]
    assert "'mine'" in line
    assert "--task FILE" in line


def test_a_policy_of_no_run_is_asked_the_usual_task(tiny_folder: Path) -> None:
    assert _task_of("embedded") == ("arithmetic", "")
    assert _task_of(str(tiny_folder)) == ("arithmetic", "")
