"""`workbench train --reward my.py:function` with functions as people write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from workbench.runs import Run

REWARDS = """
import threading

import math_verify


def hangs(completions, **columns):
    threading.Event().wait()


def ends(completions, **columns):
    raise SystemExit(0)


def with_an_alarm(completions, **columns):
    return [float(bool(math_verify.parse("$1$"))) for _ in completions]


def silent(completions, **columns):
    return [None] * len(completions)
"""


def train(
    workbench: Callable[..., CompletedProcess[str]],
    tiny_folder: Path,
    folder: Path,
    reward: str,
    code: int = 0,
) -> str:
    (folder / "mine.py").write_text(REWARDS)
    settings = [
        "reward_timeout=1",
        "prompts_per_step=4",
        "num_generations=4",
        "updates_per_rollout=1",
        "max_completion_length=8",
        "num_eval_problems=8",
    ]
    done = workbench(
        "train",
        "--policy",
        tiny_folder,
        "--steps",
        1,
        "--out",
        reward,
        "--reward",
        f"mine.py:{reward}",
        *(word for setting in settings for word in ("--set", setting)),
        cwd=folder,
        code=code,
    )
    return " ".join((done.stdout + done.stderr).split())


def test_a_reward_that_hangs_ends_the_run_with_its_name(workbench, tiny_folder, tmp_path) -> None:
    text = train(workbench, tiny_folder, tmp_path, "hangs", code=2)
    assert "reward function 'hangs' had not returned after 1 s (reward_timeout)" in text
    assert Run.open(tmp_path / "hangs").meta.status == "failed"


def test_a_reward_that_ends_the_process_ends_the_run_as_failed(
    workbench, tiny_folder, tmp_path
) -> None:
    text = train(workbench, tiny_folder, tmp_path, "ends", code=2)
    assert "reward function 'ends' raised SystemExit: 0" in text
    assert Run.open(tmp_path / "ends").meta.status == "failed"


def test_a_reward_that_sets_an_alarm_works(workbench, tiny_folder, tmp_path) -> None:
    train(workbench, tiny_folder, tmp_path, "with_an_alarm")
    assert Run.open(tmp_path / "with_an_alarm").meta.status == "finished"


def test_a_reward_that_scores_nothing_is_said_in_the_first_step(
    workbench, tiny_folder, tmp_path
) -> None:
    text = train(workbench, tiny_folder, tmp_path, "silent", code=2)
    assert "reward function 'silent' returned None for all 16 completions of the first" in text


def test_a_file_with_a_syntax_error_is_one_line_and_code_2(workbench, tmp_path) -> None:
    (tmp_path / "mine.py").write_text("def f(completions)\n    return 1\n")
    done = workbench("train", "--reward", "mine.py:f", cwd=tmp_path, code=2)
    assert "mine.py, line 1, in `def f(completions)`: SyntaxError" in done.stderr
    assert done.stderr.count("\n") == 1
