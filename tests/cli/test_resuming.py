"""`workbench train --resume`: the printed command goes on with the run, and what a record cannot
tell is asked for."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.commands.resuming import Parts, parts_of, resume_command
from workbench.config import ConfigError
from workbench.runs import Run, RunWriter
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training.same_run import check_same_problems

QUICK = [
    "--set",
    "prompts_per_step=2",
    "--set",
    "num_generations=4",
    "--set",
    "max_completion_length=8",
    "--set",
    "num_eval_problems=4",
    "--set",
    "save_steps=100",
    "--set",
    "eval_steps=0",
]
Command = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""


@pytest.fixture
def stopped_run(workbench: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Trains until somebody asks for a stop in the first steps (`test_cli.py` does it by a real
    Ctrl-C); what was printed."""

    @contextmanager
    def asked_after_two_steps() -> Iterator[Callable[[], bool]]:
        steps = itertools.count(1)
        yield lambda: next(steps) > 2

    def run(cwd: Path, *arguments: object) -> str:
        with monkeypatch.context() as patch:
            patch.setattr("workbench.commands.train.stop_request", asked_after_two_steps)
            return workbench("train", *arguments, "--steps", 5000, *QUICK, cwd=cwd).stdout

    return run


def printed_command(text: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith("Go on: ")]
    words = shlex.split(line.removeprefix("Go on: "))
    assert words[0] == "workbench"
    return words[1:]


def made_run(folder: Path, **facts) -> Path:
    with RunWriter.create(
        folder,
        config={},
        **(
            dict(policy="tiny", task="arithmetic", reward_names=["format_reward", "answer_reward"])
            | facts
        ),
    ) as run:
        run.finish("stopped")
    return folder


def test_the_printed_command_goes_on_with_a_run_of_an_adapter(
    tmp_path: Path, tiny_folder: Path, stopped_run: Callable[..., str], workbench: Command
) -> None:
    printed = stopped_run(
        tmp_path,
        "--policy",
        tiny_folder,
        "--lora",
        "4",
        "--quantization",
        "int8",
        "--shuffle-rewards",
        "--out",
        "my run",
    )
    words = printed_command(printed)
    assert words == ["train", "--resume", "--out", "my run"]
    made = Run.open(tmp_path / "my run").last_step()
    workbench(*words, "--steps", made + 2, cwd=tmp_path)
    run = Run.open(tmp_path / "my run")
    assert (run.last_step(), run.meta.status, run.meta.policy) == (
        made + 2,
        "finished",
        str(tiny_folder),
    )
    assert (run.config["lora_rank"], run.config["quantization"]) == (4, "int8")


def test_the_printed_command_names_a_file_of_problems_and_a_reward_of_ones_own(
    tmp_path: Path, tiny_folder: Path, stopped_run: Callable[..., str], workbench: Command
) -> None:
    problems = tmp_path / "my problems.jsonl"
    problems.write_text(
        "".join(
            json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) + "\n"
            for i in range(40)
        )
    )
    (tmp_path / "mine.py").write_text(
        "def short(completions, **columns):\n"
        "    return [float(len(c[0]['content']) < 9) for c in completions]\n"
    )
    printed = stopped_run(
        tmp_path,
        "--policy",
        tiny_folder,
        "--task",
        problems.name,
        "--reward",
        "answer",
        "--reward",
        "mine.py:short",
        "--threads",
        1,
        "--out",
        "r",
    )
    words = printed_command(printed)
    assert words == [
        "train",
        "--resume",
        "--out",
        "r",
        "--task",
        "my problems.jsonl",
        "--reward",
        "answer",
        "--reward",
        "mine.py:short",
        "--threads",
        "1",
    ]
    made = Run.open(tmp_path / "r").last_step()
    workbench(*words, "--steps", made + 1, cwd=tmp_path)
    assert Run.open(tmp_path / "r").last_step() == made + 1
    unnamed = workbench("train", "--resume", "--out", "r", "--steps", 9, cwd=tmp_path, code=2)
    assert "Name its file again: --task" in unnamed.stderr
    assert Run.open(tmp_path / "r").meta.status == "finished"


def test_a_run_is_known_from_its_record(tmp_path: Path) -> None:
    run = made_run(tmp_path / "a")
    assert parts_of(run, True, None, None, None, None) == Parts(
        "tiny", "arithmetic", ["format", "answer"], None
    )
    assert parts_of(run, True, "other", "x.jsonl", ["answer"], None) == Parts(
        "other", "x.jsonl", ["answer"], None
    )
    shuffled = made_run(tmp_path / "b", reward_names=["shuffled_answer_reward"])
    assert parts_of(shuffled, True, None, None, None, None) == Parts(
        "tiny", "arithmetic", ["answer"], "shuffled"
    )


@pytest.mark.parametrize("resume", [True, False])
def test_without_a_record_the_defaults_hold(tmp_path: Path, resume: bool) -> None:
    assert parts_of(tmp_path, resume, None, None, None, None) == Parts(
        "embedded", "arithmetic", None, None
    )


def test_what_a_record_cannot_tell_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--task mine.jsonl"):
        parts_of(made_run(tmp_path / "a", task="mine"), True, None, None, None, None)
    with pytest.raises(ConfigError, match="--reward answer --reward FILE.py:mine"):
        parts_of(
            made_run(tmp_path / "b", reward_names=["answer_reward", "mine"]),
            True,
            None,
            None,
            None,
            None,
        )


def test_a_file_that_is_called_like_a_known_task_is_not_taken_for_it(
    tmp_path: Path, tiny_folder: Path, stopped_run: Callable[..., str]
) -> None:
    problems = tmp_path / "arithmetic.jsonl"
    problems.write_text(
        "".join(
            json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) + "\n"
            for i in range(40)
        )
    )
    words = printed_command(
        stopped_run(tmp_path, "--policy", tiny_folder, "--task", problems.name, "--out", "r")
    )
    assert words == ["train", "--resume", "--out", "r", "--task", "arithmetic.jsonl"]
    with pytest.raises(ConfigError, match="came from a file"):
        check_same_problems(Run.open(tmp_path / "r"), arithmetic_task(0))


def test_the_command_is_quoted_for_a_shell(tmp_path: Path) -> None:
    words = resume_command(Path("a run; rm -rf"), Parts("embedded", "it's.jsonl", None, None), None)
    assert shlex.split(words) == [
        "workbench",
        "train",
        "--resume",
        "--out",
        "a run; rm -rf",
        "--task",
        "it's.jsonl",
    ]


def test_a_file_that_has_changed_is_refused(
    tmp_path: Path, tiny_folder: Path, workbench: Command
) -> None:
    problems = tmp_path / "problems.jsonl"
    lines = [json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) for i in range(40)]
    problems.write_text("\n".join(lines))
    named = ["--task", "problems.jsonl", "--out", "r"]
    workbench("train", "--policy", tiny_folder, *named, "--steps", 1, *QUICK, cwd=tmp_path)
    problems.write_text("\n".join(lines).replace("What is", "How much is"))
    done = workbench("train", "--resume", *named, "--steps", 2, cwd=tmp_path, code=2)
    assert "as it was then" in done.stderr
    assert Run.open(tmp_path / "r").last_step() == 1


def test_an_accuracy_of_before_the_first_step_is_not_the_result(tmp_path: Path) -> None:
    from workbench.commands.train import summary
    from workbench.runs import Evaluation

    with RunWriter.create(tmp_path / "r", config={}, reward_names=["a"]) as run:
        run.write_evaluation(0, Evaluation("held_out", 10, 4, 0.2, 0.6))
    assert summary(tmp_path / "r", 5, 1.0)["accuracy_after"] is None
    assert summary(tmp_path / "r", 0, 1.0)["accuracy_after"] == 0.4


def test_the_last_words_say_what_was_measured_and_what_was_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from workbench.commands.views import TerminalView

    values = dict(
        run="r",
        steps=5,
        accuracy_step=5,
        accuracy_before=0.1,
        accuracy_after=0.2,
        interval_after=[0.1, 0.3],
        problems=10,
        seconds=2.0,
        policy="r/policy",
    )
    view = TerminalView(tmp_path, "embedded", "arithmetic")
    view.result(values, 5, "")
    said = capsys.readouterr().out
    assert "10.0% -> 20.0%" in said
    assert "doctor" not in said
    view.history["dead_group_share"] = [1.0, 1.0]
    view.result(values | dict(accuracy_step=0, accuracy_after=None, interval_after=None), 5, "")
    said = " ".join(capsys.readouterr().out.split())
    assert "measured at step 0 only" in said
    assert "workbench eval --policy r/policy" in said
    assert "workbench doctor r" in said
    view.history |= {"reward": [0.0], "seconds/step": [1.0]}
    view.accuracies = [(0, 0.1)]
    assert "kl" not in view.line(3)


def test_a_reward_that_changes_the_working_directory_moves_nothing(
    tmp_path: Path, tiny_folder: Path, workbench: Command
) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "mine.py").write_text(
        "import os\n"
        "def mine(completions, **columns):\n"
        f"    os.chdir({str(away)!r})\n"
        "    return [float(len(c[0]['content'])) for c in completions]\n"
    )
    named = ["--policy", tiny_folder, "--reward", "mine.py:mine", "--out", "r"]
    done = workbench("train", *named, "--steps", 2, *QUICK, "--json", cwd=tmp_path)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["run"], result["policy"]) == ("r", "r/policy")
    assert (tmp_path / "r/policy/config.json").is_file()
    assert list(away.iterdir()) == []


OVERLONG = "soft_overlong:max_completion_len=8,soft_punish_cache=4"


def test_what_a_record_says_of_rewards_with_parameters(tmp_path: Path) -> None:
    known = made_run(tmp_path / "a", reward_names=["answer_reward", OVERLONG])
    assert parts_of(known, True, None, None, None, None).rewards == ["answer", OVERLONG]
    shuffled = made_run(tmp_path / "b", reward_names=[f"shuffled_{OVERLONG}"])
    parts = parts_of(shuffled, True, None, None, None, None)
    coins = made_run(tmp_path / "d", reward_names=[f"coin_for_{OVERLONG}"])
    assert parts_of(coins, True, None, None, None, None) == replace(parts, control="random")
    assert (parts.rewards, parts.control) == ([OVERLONG], "shuffled")
    inner = made_run(tmp_path / "c", reward_names=["noisy:p=0.1,reward=mine"])
    with pytest.raises(ConfigError, match=r"Name all again: --reward FILE.py:noisy:p=0.1"):
        parts_of(inner, True, None, None, None, None)
