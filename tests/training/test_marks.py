"""A checkpoint belongs to one making of its step: an older copy of it, or of the record, put back
is told, and never gone on from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import same_weights, weights_of

from workbench.runs import Run
from workbench.runs.integrity.repair import repair
from workbench.training.checkpoints import CheckpointError


def test_an_older_record_beside_newer_checkpoints_is_refused(make_trainer, tmp_path: Path) -> None:
    whole = make_trainer("whole")
    whole.train()
    trainer = make_trainer()
    trainer.train(2)
    trainer.run.close()
    shutil.copy(tmp_path / "run/run.sqlite", tmp_path / "older.sqlite")
    later = make_trainer(resume=True)
    later.train(2)
    later.run.close()
    shutil.move(tmp_path / "older.sqlite", tmp_path / "run/run.sqlite")
    with pytest.raises(
        CheckpointError, match=r"step-000004 does not belong.*whose step 4 is not there"
    ):
        make_trainer(resume=True)
    # What the message says to type.
    found = repair(tmp_path / "run")
    assert (found.steps, found.checkpoints) == (2, [0, 2])
    resumed = make_trainer("run-repaired", resume=True)
    resumed.train()
    assert same_weights(weights_of(whole), weights_of(resumed))


def test_a_checkpoint_of_another_making_is_refused(make_trainer, tmp_path: Path) -> None:
    for name, seed in (("run", 0), ("other", 1)):
        make_trainer(name, seed=seed).train(4)
    place = "checkpoints/step-000004"
    shutil.rmtree(tmp_path / "run" / place)
    shutil.copytree(tmp_path / "other" / place, tmp_path / "run" / place)
    with pytest.raises(CheckpointError, match="step 4 is not the one that it was saved after"):
        make_trainer(resume=True)
    assert Run.open(tmp_path / "run").last_step() == 4


def test_a_branch_a_copy_and_a_rewound_run_keep_their_checkpoints(
    make_session, tmp_path: Path
) -> None:
    session = make_session()
    session.step(4).wait()
    session.rewind(3).wait()
    session.step(1).wait()
    session.save_copy(tmp_path / "copy")
    session.branch("branch", 3).wait()
    session.free()
    for name in ("run", "copy"):
        assert make_session(name, resume=True).step_number == 4
    assert make_session("branch", resume=True).step_number >= 3
