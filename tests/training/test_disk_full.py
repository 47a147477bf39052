"""A disk that is full or may not be written to while a checkpoint is saved: one error that says
what is whole, no half of it left, no second try, and the run can go on when there is room again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers import same_weights, weights_of

from workbench.runs import Run, RunRecordError
from workbench.training import checkpoints
from workbench.training.checkpoints import Checkpoint, CheckpointError, SaveError
from workbench.training.session import SessionError


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_in_rust(*args: object) -> None:
    """As safetensors says it, in two of its versions."""
    from safetensors import SafetensorError

    raise SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )


def full_in_older_rust(*args: object) -> None:
    from safetensors import SafetensorError

    raise SafetensorError(
        'Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space '
        'left on device" })'
    )


def over_quota(*args: object) -> None:
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def forbidden(*args: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def read_only(*args: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def broken(*args: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


TROUBLES: list[tuple[Callable[..., None], str]] = [
    (full, r"no room for 0\.\d MB in .*checkpoints \(No space left.*are free\)"),
    (full_in_rust, r"no room for 0\.\d MB in .*checkpoints"),
    (full_in_older_rust, r"no room for 0\.\d MB in .*checkpoints"),
    (over_quota, r"no room for .*Disk quota exceeded"),
    (forbidden, r"checkpoints may not be written to \(Permission denied\)"),
    (read_only, r"checkpoints may not be written to \(Read-only file system\)"),
    (broken, r"checkpoints could not be written to \(OSError.*Input/output error"),
]


@contextmanager
def trouble(with_what: Callable[..., None], where: str = "save_file") -> Iterator[list[int]]:
    """A disk that refuses; how often it was tried."""
    tried: list[int] = []

    def refuse(*args: object) -> None:
        tried.append(1)
        with_what(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"workbench.training.checkpoints.{where}", refuse)
        yield tried


@pytest.mark.slow
@pytest.mark.parametrize(("with_what", "words"), TROUBLES)
def test_it_is_one_error_that_says_what_is_whole(
    make_trainer, tmp_path: Path, with_what: Callable[..., None], words: str
) -> None:
    whole = make_trainer("whole")
    whole.train()
    trainer = make_trainer()
    trainer.train(3)
    before = sorted(tmp_path.rglob("*"))
    with trouble(with_what) as tried, pytest.raises(SaveError, match=words) as told:
        trainer.train()
    assert "checkpoint of step 4 was not written, the newest there is that of step 3" in str(
        told.value
    )
    assert "The run is whole up to step 4." in str(told.value)
    assert len(tried) == 1
    assert sorted(tmp_path.rglob("*")) == before
    # There is room again.
    trainer.train()
    assert same_weights(weights_of(whole), weights_of(trainer))


def test_a_real_limit_of_the_system(tmp_path: Path) -> None:
    """A process whose files may not grow past a size: what the disk refuses comes from the system
    itself, through safetensors."""
    script = (
        "import resource, signal, sys; from pathlib import Path; import torch\n"
        "from workbench.training import checkpoints\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "tensors = {'weights': {'w': torch.zeros(1_000_000)}}\n"
        "try:\n"
        f"    checkpoints.save(Path({str(tmp_path)!r}), checkpoints.Checkpoint(3, tensors, {{}}))\n"
        "except checkpoints.SaveError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "no room for 4.0 MB" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the simulated refusals above stand for it")
    (tmp_path / "checkpoints").mkdir(mode=0o500)
    with pytest.raises(SaveError, match="may not be written to"):
        checkpoints.save(tmp_path / "checkpoints", Checkpoint(1, {}, {}))


def test_the_one_that_was_to_be_replaced_stays(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, Checkpoint(2, {"weights": {"w": torch.zeros(3)}}, {}))
    with trouble(full), pytest.raises(SaveError):
        checkpoints.save(tmp_path, Checkpoint(2, {"weights": {"w": torch.ones(3)}}, {}))
    assert checkpoints.load(tmp_path, 2).tensors["weights"]["w"].sum() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


def test_a_session_tries_once_tells_it_and_goes_on_when_there_is_room(
    make_session, tmp_path: Path
) -> None:
    session = make_session(save_steps=2)
    with trouble(full) as tried, pytest.raises(SessionError, match="SaveError: no room for"):
        session.start().wait()
    assert len(tried) == 1
    assert session.run.last_step() == 2
    assert session.run.events().kind.tolist() == ["error"]
    session.save_copy(tmp_path / "on another disk")
    assert Run.open(tmp_path / "on another disk").last_step() == 2
    session.start().wait()
    assert session.status == "finished"


def test_trouble_while_an_error_is_handled_does_not_hide_it(make_session) -> None:
    def wrong(completions, **columns):
        raise ZeroDivisionError

    session = make_session(rewards=wrong)
    with trouble(full), pytest.raises(SessionError, match="ZeroDivisionError") as told:
        session.start().wait()
    (note,) = [n for n in told.value.__cause__.__notes__ if n.startswith("Besides")]
    assert "no room for" in note


def test_a_new_run_on_a_full_disk_leaves_nothing(make_trainer, tmp_path: Path) -> None:
    with trouble(full), pytest.raises(SaveError, match="none is there"):
        make_trainer("runs/a")
    assert list(tmp_path.iterdir()) == []


def test_an_old_checkpoint_that_may_not_be_deleted(make_trainer) -> None:
    trainer = make_trainer(save_steps=1, save_total_limit=1)
    trainer.step()
    with trouble(forbidden, "delete_folder"), pytest.raises(CheckpointError, match="by hand"):
        trainer.step()
    assert trainer.steps_done == 2


def test_a_record_that_cannot_grow_is_told_too(make_trainer, tmp_path: Path) -> None:
    """The record is SQLite's, which is made to believe that its disk is full."""
    trainer = make_trainer()
    trainer.step()
    database = trainer.run._connection()
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RunRecordError, match=r"step \d was not recorded: database or disk is full"):
        trainer.train()
    made = trainer.steps_done
    database.execute("PRAGMA max_page_count = 1000000")
    trainer.save_copy(tmp_path / "saved")
    assert Run.open(tmp_path / "saved").last_step() == made + 1


def test_a_folder_for_runs_that_cannot_be_made(tmp_path: Path) -> None:
    from workbench.runs import RunWriter

    (tmp_path / "file").write_text("")
    with pytest.raises(RunRecordError, match="cannot be made"):
        RunWriter.create(tmp_path / "file" / "run", config={})


@pytest.mark.parametrize("what", ["copytree", "fsync"])
def test_a_branch_on_a_full_disk_is_one_error_and_leaves_nothing(
    make_session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def several(source: Path, target: Path, **options: object) -> None:
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])

    session = make_session()
    session.step(2).wait()
    session.trainer.save()
    monkeypatch.setattr(session.trainer, "save", lambda: None)
    with monkeypatch.context() as patch:
        if what == "copytree":
            patch.setattr("workbench.runs.checkpoint_folders.shutil.copytree", several)
        else:
            patch.setattr("workbench.runs.whole_folder.os.fsync", full)
        with pytest.raises(SaveError, match=r"no room for 0\.\d MB.*was not copied there"):
            session.branch("branch", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    branch = session.branch("branch", 2)
    branch.step(1).wait()
    assert branch.step_number == 3
