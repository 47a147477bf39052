"""What killed saves leave behind goes at the next start, resume or save of that run; what a living
writer has in hand stays. And checkpoints that somebody removed are not made up for by deleting
steps."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from helpers import same_weights, weights_of

from workbench.runs import Run, RunRecordError, RunWriter
from workbench.runs.store.writer import newest_checkpoint
from workbench.training import checkpoints
from workbench.training.checkpoints import Checkpoint, CheckpointError

WEIGHTS = {"weights": {"w": torch.zeros(3)}}
LEFTOVERS = (".writing-step-000004", ".writing-step-000002", ".deleting-step-000001")


def litter(folder: Path) -> None:
    """What kills leave, one in the middle of a save, one in the middle of a deletion."""
    for name in LEFTOVERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "weights.safetensors").write_bytes(b"half of it")


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_they_go_when_the_run_is_resumed(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer.train(2)
    trainer.run.close()
    litter(tmp_path / "run/checkpoints")
    assert make_trainer(resume=True).steps_done == 2
    assert hidden(tmp_path / "run/checkpoints") == []


def test_they_go_at_the_next_save(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer(save_steps=1)
    litter(tmp_path / "run/checkpoints")
    trainer.step()
    assert hidden(tmp_path / "run/checkpoints") == []


def test_they_go_when_a_run_begins_that_was_killed_before_its_record(
    make_trainer, tmp_path: Path
) -> None:
    litter(tmp_path / "run/checkpoints")
    make_trainer()
    assert hidden(tmp_path / "run/checkpoints") == []


def life(folder: Path, ready: object) -> None:
    """A process that is in the middle of a save until it is killed."""
    run = RunWriter.create(folder, config={}, reward_names=["a"])
    checkpoints.save(folder / "checkpoints", Checkpoint(0, WEIGHTS, {}))

    def wait() -> None:
        ready.set()
        time.sleep(60)

    checkpoints.save(folder / "checkpoints", Checkpoint(2, WEIGHTS, {}), wait)
    run.close()


def test_what_another_process_is_writing_stays_until_it_dies(make_trainer, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=life, args=(tmp_path / "run", ready))
    process.start()
    try:
        assert ready.wait(60)
        with pytest.raises(RunRecordError, match=f"written by process {process.pid}"):
            make_trainer(resume=True)
        assert hidden(tmp_path / "run/checkpoints") == [".writing-step-000002"]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert checkpoints.load_latest(tmp_path / "run/checkpoints").step == 0
    assert hidden(tmp_path / "run/checkpoints") == []


def test_what_another_thread_is_writing_stays(tmp_path: Path) -> None:
    """Two sessions of one kernel on one folder: the second waits for the first's save to end."""
    ready = threading.Event()
    go_on = threading.Event()

    def wait() -> None:
        ready.set()
        go_on.wait(60)

    first = threading.Thread(
        target=checkpoints.save, args=(tmp_path, Checkpoint(2, WEIGHTS, {}), wait)
    )
    found: list[Checkpoint | None] = []
    second = threading.Thread(target=lambda: found.append(checkpoints.load_latest(tmp_path)))
    first.start()
    ready.wait(60)
    second.start()
    second.join(0.2)
    assert hidden(tmp_path) == [".writing-step-000002"]
    go_on.set()
    first.join()
    second.join()
    assert found[0].step == 2


def test_a_branch_that_is_killed_while_it_copies_has_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest may be copied before what it vouches for."""
    checkpoints.save(tmp_path / "parent", Checkpoint(2, WEIGHTS, {}))

    def killed(source: Path, target: Path, **options: object) -> None:
        shutil.copy(source / "manifest.json", target)
        os._exit(9)

    monkeypatch.setattr("workbench.runs.checkpoint_folders.shutil.copytree", killed)
    process = multiprocessing.get_context("fork").Process(
        target=checkpoints.copy, args=(tmp_path / "parent", tmp_path / "child", 2)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    assert checkpoints.steps_in(tmp_path / "child") == []
    assert checkpoints.load_latest(tmp_path / "child") is None
    assert hidden(tmp_path / "child") == []


# ----------------------------------------------------------------------- removed by hand


def test_a_run_whose_checkpoints_were_removed_keeps_its_steps(make_trainer, tmp_path: Path) -> None:
    make_trainer().train()
    shutil.rmtree(tmp_path / "run/checkpoints")
    with pytest.raises(
        CheckpointError, match=r"holds no checkpoint.*would delete the 6 steps.*rm .*run\.sqlite"
    ):
        make_trainer(resume=True)
    run = Run.open(tmp_path / "run")
    assert (run.last_step(), run.meta.status) == (6, "finished")
    # What the message says to type.
    run.path.unlink()
    make_trainer().train(1)


def test_a_run_whose_newest_checkpoint_was_removed_keeps_its_steps(
    make_trainer, tmp_path: Path
) -> None:
    whole = make_trainer("whole")
    whole.train()
    make_trainer().train(5)
    for step in (4, 5):
        shutil.rmtree(checkpoints.folder_of(tmp_path / "run/checkpoints", step))
    with pytest.raises(CheckpointError, match="of step 5, which is gone.*of step 2.*steps 3 to 5"):
        make_trainer(resume=True)
    assert Run.open(tmp_path / "run").last_step() == 5
    # What the message says to type.
    RunWriter.resume(str(tmp_path / "run"), 2).close()
    resumed = make_trainer(resume=True)
    assert resumed.steps_done == 2
    resumed.train()
    assert same_weights(weights_of(whole), weights_of(resumed))


def test_all_but_the_first_checkpoint_removed_to_make_room(make_session, tmp_path: Path) -> None:
    session = make_session()
    session.start().wait()
    session.free()
    for step in checkpoints.steps_in(tmp_path / "run/checkpoints")[1:]:
        shutil.rmtree(checkpoints.folder_of(tmp_path / "run/checkpoints", step))
    with pytest.raises(CheckpointError, match="of step 8, which is gone"):
        make_session(resume=True)
    assert Run.open(tmp_path / "run").last_step() == 8


def test_a_kill_in_the_middle_of_a_rewind_can_be_resumed(
    make_trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later checkpoints are gone then, and the record still has the later steps."""
    trainer = make_trainer()
    trainer.train(5)

    def killed(*args: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.trainer.Trainer.continue_record", killed)
        with pytest.raises(SystemExit):
            trainer.go_back_to(checkpoints.load(trainer.folder, 2))
    trainer.run.close()
    assert (newest_checkpoint(tmp_path / "run"), Run.open(tmp_path / "run").last_step()) == (2, 5)
    assert make_trainer(resume=True).steps_done == 2


def test_a_record_of_an_earlier_version_is_resumed_as_before(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer(save_steps=2)
    trainer.train(4)
    with trainer.run._transaction("a test") as database:
        database.execute("DELETE FROM meta WHERE key = 'newest_checkpoint'")
    trainer.run.close()
    shutil.rmtree(checkpoints.folder_of(tmp_path / "run/checkpoints", 4))
    assert make_trainer(save_steps=2, resume=True).steps_done == 2


def test_where_a_rename_is_a_copy_a_half_of_it_is_never_taken_for_whole(tmp_path: Path) -> None:
    """A mounted drive without atomic rename: the manifest, which holds the digest of each file, is
    the mark that a checkpoint is whole, wherever the copying was broken off."""
    tensors = {"policy": {"w": torch.ones(2000)}}
    checkpoints.save(tmp_path, checkpoints.Checkpoint(1, tensors, {"a": 1}))
    names = ["manifest.json", "policy.safetensors", "state.json"]
    for whole in range(4):
        for cut in (0, 7):
            half = checkpoints.folder_of(tmp_path, 2)
            shutil.copytree(checkpoints.folder_of(tmp_path, 1), half)
            manifest = json.loads((half / "manifest.json").read_text()) | {"step": 2}
            (half / "manifest.json").write_text(json.dumps(manifest))
            for name in names[whole:]:
                (half / name).write_bytes((half / name).read_bytes()[:cut])
            if whole < len(names):
                with pytest.warns(UserWarning, match="The one before it is used"):
                    found = checkpoints.load_latest(tmp_path)
            else:
                found = checkpoints.load_latest(tmp_path)
            assert found is not None
            assert found.step == (1 if whole < len(names) else 2)
            shutil.rmtree(half)
