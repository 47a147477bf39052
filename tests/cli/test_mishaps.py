"""`workbench train` when its folder goes or its disk is full: one message that says what was kept
and how to go on, and the command in it goes on."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.runs import Run
from workbench.training import checkpoints

QUICK = [
    *("--set", "prompts_per_step=4"),
    *("--set", "num_generations=4"),
    *("--set", "max_completion_length=8"),
    *("--set", "num_eval_problems=4"),
    *("--set", "eval_steps=0"),
    *("--set", "save_steps=2"),
]
Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""


def full(*args: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def go_on(text: str) -> list[str]:
    """The words of the command that a message ends with, without `workbench`."""
    (line,) = [line for line in text.splitlines() if "workbench train --resume" in line]
    return shlex.split(line[line.index("workbench train") :])[1:]


@pytest.fixture
def reward_that(tmp_path: Path) -> Callable[[str], str]:
    """Writes a reward function that does something in its third call, and names it."""

    def make(does: str) -> str:
        (tmp_path / "mine.py").write_text(
            "import os, shutil\n"
            "calls = []\n"
            "def mine(completions, **columns):\n"
            "    calls.append(1)\n"
            "    if len(calls) == 3:\n"
            f"        {does}\n"
            "    return [float(len(c[0]['content'])) for c in completions]\n"
        )
        return "mine.py:mine"

    return make


@pytest.mark.slow
@pytest.mark.parametrize("does", ["shutil.rmtree('r')", "os.rename('r', 'moved')"])
def test_a_folder_that_goes_is_written_anew_beside_its_place(
    tmp_path: Path,
    tiny_folder: Path,
    workbench: Command,
    reward_that: Callable[[str], str],
    does: str,
) -> None:
    named = ["--policy", tiny_folder, "--reward", reward_that(does), "--out", "r"]
    done = workbench("train", *named, "--steps", 4, *QUICK, cwd=tmp_path, code=2)
    assert "was deleted, moved or replaced while its run went on: step 3 was not" in done.stderr
    assert f"What memory held was written to {tmp_path / 'r-saved'}" in done.stderr
    assert Run.open(tmp_path / "r-saved").last_step() == 3
    assert not (tmp_path / "r").exists()
    workbench(*go_on(done.stderr), cwd=tmp_path)
    run = Run.open(tmp_path / "r-saved")
    assert (run.last_step(), run.meta.status) == (4, "finished")


def test_a_full_disk_is_one_message_and_the_record_says_so(
    tmp_path: Path, tiny_folder: Path, workbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoints.save
    tried = []

    def full_at_step_2(root, checkpoint, *args):
        if checkpoint.step > 0:
            tried.append(checkpoint.step)
            with monkeypatch.context() as patch:
                patch.setattr("workbench.training.checkpoints.save_file", full)
                return save(root, checkpoint, *args)
        return save(root, checkpoint, *args)

    named = ["--policy", tiny_folder, "--out", "r"]
    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.checkpoints.save", full_at_step_2)
        done = workbench("train", *named, "--steps", 4, *QUICK, cwd=tmp_path, code=2)
    assert "error: no room for" in done.stderr
    assert "whole up to step 2" in done.stderr
    assert tried == [2]
    meta = Run.open(tmp_path / "r").meta
    assert (meta.status, meta.reason.split(":")[0]) == ("failed", "SaveError")
    workbench(*go_on(done.stderr), cwd=tmp_path)
    assert Run.open(tmp_path / "r").meta.status == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--lora", 4]])
def test_a_policy_that_finds_no_room_is_a_notice_and_no_half_of_it_stays(
    tmp_path: Path,
    tiny_folder: Path,
    workbench: Command,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[object],
) -> None:
    def half(policy, folder, **options):
        (Path(folder) / "config.json").write_text("{}")
        full()

    named = ["--policy", tiny_folder, "--out", "r", *flags]
    with monkeypatch.context() as patch:
        patch.setattr("workbench.policy.save.save_policy", half)
        done = workbench("train", *named, "--steps", 2, *QUICK, "--json", cwd=tmp_path)
    assert "no room for" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["policy"] == "r/checkpoints"
    kept = sorted(path.name for path in (tmp_path / "r").iterdir())
    assert kept == ["checkpoints", "run.sqlite"]
    workbench(*go_on(done.stderr), cwd=tmp_path)
    assert (tmp_path / "r/policy/config.json").is_file()


def test_checkpoints_that_were_removed_are_asked_for(
    tmp_path: Path, tiny_folder: Path, workbench: Command
) -> None:
    named = ["--policy", tiny_folder, "--out", "my run"]
    workbench("train", *named, "--steps", 3, *QUICK, cwd=tmp_path)
    shutil.rmtree(tmp_path / "my run/checkpoints")
    done = workbench("train", "--resume", "--out", "my run", "--steps", 4, cwd=tmp_path, code=2)
    assert "would delete the 3 steps that the record holds" in done.stderr
    assert f"rm '{tmp_path / 'my run' / 'run.sqlite'}'" in done.stderr
    assert Run.open(tmp_path / "my run").last_step() == 3
