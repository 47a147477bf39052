"""What was named by a relative path stays where it was when the working directory changes: a cell
with `os.chdir`, a reward function that changes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from helpers import digits_reward

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run, RunWriter, list_runs
from workbench.runs.export import export_csv
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, checkpoints, start_run
from workbench.training.session import Session

SETTINGS = dict(
    prompts_per_step=4,
    num_generations=4,
    max_completion_length=8,
    max_steps=4,
    eval_steps=0,
    save_steps=1,
    num_eval_problems=4,
)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder than the working directory, which is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def started(policy: Path | str, out: str | Path, resume: bool = False) -> Trainer:
    return start_run(
        out,
        policy=load_policy(policy),
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(digits_reward),
        config=GRPOConfig(**SETTINGS),
        resume=resume,
    )


def test_a_run_keeps_its_folder(tiny_folder: Path, tmp_path: Path, elsewhere: Path) -> None:
    trainer = started(tiny_folder, "run")
    trainer.train(2)
    os.chdir(elsewhere)
    trainer.train(2)
    assert list(elsewhere.iterdir()) == []
    assert checkpoints.steps_in(tmp_path / "run/checkpoints")[-1] == 4
    resumed = started(tiny_folder, tmp_path / "run", resume=True)
    assert (resumed.steps_done, Run.open(tmp_path / "run").last_step()) == (4, 4)


def test_a_session_keeps_its_folder(tiny_folder: Path, tmp_path: Path, elsewhere: Path) -> None:
    session = Session(
        load_policy(tiny_folder),
        arithmetic_task(0, 64, 16),
        RewardSet(digits_reward),
        GRPOConfig(**SETTINGS),
        out="run",
    )
    session.step(2).wait()
    os.chdir(elsewhere)
    session.step().wait()
    session.branch("other", 1).wait()
    assert session.out == tmp_path / "run"
    assert session.run.last_step() == 3
    assert (tmp_path / "other/run.sqlite").is_file()
    assert list(elsewhere.iterdir()) == []


def test_a_record_that_was_opened_stays_open(tmp_path: Path, elsewhere: Path) -> None:
    writer = RunWriter.create("run", config={})
    run = Run.open("run")
    listed = list_runs(".")
    os.chdir(elsewhere)
    writer.finish()
    assert run.meta.status == "finished"
    assert Run.open(listed.path[0]).meta.id == run.meta.id


def test_what_was_written_is_named_so_that_it_is_found_later(
    tmp_path: Path, elsewhere: Path
) -> None:
    RunWriter.create("run", config={}).close()
    files = export_csv("run", "tables")
    os.chdir(elsewhere)
    assert all(file.is_file() for file in files)


def test_a_policy_is_recorded_where_it_lies(
    tiny_folder: Path, tmp_path: Path, elsewhere: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Resumed from another folder, a run would otherwise not find its policy, or find another."""
    shutil.copytree(tiny_folder, "policy")
    trainer = started("policy", "run")
    trainer.train(1)
    trainer.run.close()
    assert trainer.policy.source == str(tmp_path / "policy")
    os.chdir(elsewhere)
    own = Run.open(tmp_path / "run").meta.policy
    assert started(own, tmp_path / "run", resume=True).steps_done == 1
    assert not [w for w in recwarn if "goes on with" in str(w.message)]


def test_a_reward_from_a_file_finds_what_lies_beside_it(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "words.txt").write_text("yes")
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "def known(completions, **columns):\n"
        "    words = Path(__file__).with_name('words.txt').read_text().split()\n"
        "    return [float(c[0]['content'] in words) for c in completions]\n"
    )
    rewards = RewardSet("mine.py:known")
    os.chdir(elsewhere)
    table = rewards.score(
        prompts=[[{"role": "user", "content": "?"}]],
        completions=[[{"role": "assistant", "content": "yes"}]],
        completion_ids=[[1]],
        columns={},
        step=1,
    )
    assert table.rewards_BK.tolist() == [[1.0]]
