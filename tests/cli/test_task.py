"""`workbench task`: what is read from a file, and what a policy gets of it; keys that are named
once stay with the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.runs import Run

Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""

ROWS = [
    {"in": {"q": f"What is {i} + 1?"}, "out": [{"a": str(i + 1)}], "rule": "Be brief."}
    for i in range(8)
]
KEYS = ["--question-key", "in.q", "--answer-key", "out.0.a", "--system-key", "rule"]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    path = tmp_path / "strange.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_a_file_is_shown_as_it_is_read(strange: Path, workbench: Command) -> None:
    shown = workbench("task", strange, *KEYS, cwd=strange.parent)
    for words in (
        "7 to train on, 1 held out",
        "question: 'in.q', answer: 'out.0.a', system: 'rule'",
        "8 the whole answer",
        "line 1: gold '1'",
        "dropped of 8 rows",
        "8 of 8 problems keep the system message",
        "system: 'Be brief.'",
    ):
        assert words in shown.stdout
    assert "--policy" in shown.stderr
    assert "UserWarning" not in shown.stderr + shown.stdout


def test_and_the_prompt_as_a_policy_gets_it(
    strange: Path, tiny_folder: Path, workbench: Command
) -> None:
    more = ["--policy", tiny_folder, "--max-prompt-length", 5]
    more += ["--max-completion-length", 8]
    shown = workbench("task", strange, *KEYS, *more, cwd=strange.parent).stdout
    assert "the first prompt as the policy gets it" in shown
    assert "(100.0%) over max_prompt_length=5" in shown
    printed = workbench("task", strange, *KEYS, *more, "--json", cwd=strange.parent).stdout
    values = json.loads(printed)
    assert values["prompts"]["share_too_long"] == 1
    assert values["prompts"]["tokens"] > 5
    assert values["found"] == {"the whole answer": 8}
    assert "What is" in values["prompts"]["first"]


def test_the_models_positions_bound_the_prompt_too(
    strange: Path, tiny_folder: Path, workbench: Command
) -> None:
    asked = ["task", strange, *KEYS, "--policy", tiny_folder, "--max-completion-length"]
    shown = workbench(*asked, 124, cwd=strange.parent).stdout
    assert "(100.0%) over the limit of 4: the model's 128 positions less" in shown
    shown = workbench(*asked, 200, cwd=strange.parent).stdout
    assert "over the limit of 0: the model's 128 positions" in shown


def test_a_named_task_is_shown_too(tmp_path: Path, workbench: Command) -> None:
    shown = workbench("task", "arithmetic", cwd=tmp_path).stdout
    assert "4000 to train on, 1200 held out" in shown


def test_a_file_that_cannot_be_read_names_the_option(strange: Path, workbench: Command) -> None:
    told = workbench("task", strange, cwd=strange.parent, code=2).stderr
    assert "--question-key" in told
    assert "'in.q'" in told, "the nested key is spelled as it would be named"


@pytest.mark.slow
def test_keys_that_were_named_once_stay_with_the_run(strange: Path, workbench: Command) -> None:
    quick = "prompts_per_step=4 num_generations=4 max_completion_length=8 num_eval_problems=1"
    settings = [word for pair in quick.split() for word in ("--set", pair)]
    begin = ["train", "--task", strange, *KEYS, "--out", "r", *settings]
    workbench(*begin, "--steps", 1, cwd=strange.parent)
    config = Run.open(strange.parent / "r").config
    assert (config["question_key"], config["answer_key"]) == ("in.q", "out.0.a")
    resumed = ["train", "--resume", "--out", "r", "--task", strange, "--steps", 2]
    workbench(*resumed, cwd=strange.parent)
    assert Run.open(strange.parent / "r").last_step() == 2
    other = [*resumed, "--answer-key", "rule"]
    said = workbench(*other, cwd=strange.parent, code=2).stderr
    assert "read with answer_key='out.0.a', now with 'rule'" in said


def test_eval_takes_the_same_keys(strange: Path, workbench: Command) -> None:
    shown = workbench(
        "eval", "--task", strange, *KEYS, "--system-prompt", "", "--json", cwd=strange.parent
    )
    assert json.loads(shown.stdout.splitlines()[-1])["n"] == 1


def test_columns_are_named_in_one_way(strange: Path, workbench: Command) -> None:
    named = "question=in.q answer=out.0.a system=rule subject=rule level=in.q"
    columns = [word for pair in named.split() for word in ("--column", pair)]
    shown = workbench("task", strange, *columns, "--json", cwd=strange.parent).stdout
    values = json.loads(shown)
    assert "question: 'in.q', answer: 'out.0.a', system: 'rule'" in values["sources"][0]
    assert values["subjects"] == [{"name": "Be brief.", "problems": 8}]
    assert [level["problems"] for level in values["levels"]] == [1] * 8
    assert values["worked_solutions"] == 0


def test_golds_that_train_would_refuse_are_shown_and_left_out(
    tmp_path: Path, workbench: Command
) -> None:
    golds = ["1", "2", "3", "4", "?", "1..2", None]
    rows = [{"question": f"{i}?", "answer": gold} for i, gold in enumerate(golds)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    refused = workbench("task", path, cwd=tmp_path, code=2).stderr
    assert "1 row(s) have no gold" in refused
    assert "--skip-unreadable" in refused
    path.write_text("\n".join(map(json.dumps, rows[:-1])))
    shown = workbench("task", path, cwd=tmp_path).stdout
    assert "golds that cannot be read: 2 (`workbench train` refuses them" in shown
    assert "line 5: gold '?' of '4?'" in shown
    path.write_text("\n".join(map(json.dumps, rows)))
    shown = workbench("task", path, "--skip-unreadable", cwd=tmp_path).stdout
    assert "1 row(s) without a gold left out: line 7" in shown
    assert "golds that cannot be read: 2 (left out" in shown
    printed = workbench("task", path, "--skip-unreadable", "--json", cwd=tmp_path).stdout
    values = json.loads(printed)
    assert (values["train"] + values["held_out"], len(values["unreadable"])) == (4, 2)
