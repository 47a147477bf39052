"""The folder or the record of a run is deleted, moved or replaced while it trains: it stops with
one sentence, writes nothing into what stands there now, and what memory holds can be saved."""

from __future__ import annotations

import shutil
import sqlite3
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import digits_reward, same_weights, weights_of

from workbench.runs import Run, RunWarning
from workbench.runs.store.writer import RecordGoneError, RunWriter
from workbench.training import checkpoints
from workbench.training.session import SessionError
from workbench.training.update import apply_gradient


def delete(run: Path) -> None:
    shutil.rmtree(run)


def move(run: Path) -> None:
    run.rename(run.with_name("moved"))


def delete_record(run: Path) -> None:
    for file in run.glob("run.sqlite*"):
        file.unlink()


def delete_log(run: Path) -> None:
    (run / "run.sqlite-wal").unlink()


def replace_by_another(run: Path) -> None:
    shutil.rmtree(run)
    RunWriter.create(run, config={}, reward_names=["digits_reward"]).close()


def replace_by_a_copy(run: Path) -> None:
    """As tools that synchronise folders do: the same bytes in another file."""
    copy = run.with_name("copy")
    shutil.copy(run / "run.sqlite", copy)
    copy.replace(run / "run.sqlite")


MISHAPS = [delete, move, delete_record, delete_log, replace_by_another, replace_by_a_copy]


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("befall", MISHAPS)
def test_training_stops_at_the_next_step_and_writes_nothing_there(
    make_trainer, tmp_path: Path, befall: Callable[[Path], None]
) -> None:
    trainer = make_trainer(save_steps=1)
    trainer.step()
    befall(tmp_path / "run")
    before = entries(tmp_path)
    with pytest.raises(RecordGoneError, match="was deleted, moved or replaced"):
        trainer.train()
    with pytest.raises(RecordGoneError, match="was deleted, moved or replaced"):
        trainer.save()
    assert entries(tmp_path) == before
    assert (trainer.steps_done, trainer.dirty) == (1, False)


@pytest.mark.slow
@pytest.mark.parametrize("befall", MISHAPS)
def test_a_copy_of_what_memory_holds_goes_on_as_if_nothing_had_happened(
    make_trainer, tmp_path: Path, befall: Callable[[Path], None]
) -> None:
    whole = make_trainer("whole", beta=0.1)
    whole.train()
    trainer = make_trainer(beta=0.1)
    trainer.train(3)
    befall(tmp_path / "run")
    assert trainer.save_copy(tmp_path / "saved") == tmp_path / "saved"
    resumed = make_trainer("saved", resume=True, beta=0.1)
    assert resumed.steps_done == 3
    resumed.train()
    assert same_weights(weights_of(whole), weights_of(resumed))
    assert Run.open(tmp_path / "saved").steps().step.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_copy_of_an_adapters_run_has_its_reference(make_trainer, tmp_path: Path) -> None:
    """That is the base without the adapter; the first checkpoint, which is gone, is not needed."""
    whole = make_trainer("whole", lora_rank=2, beta=0.1)
    whole.train()
    trainer = make_trainer(lora_rank=2, beta=0.1)
    trainer.train(3)
    shutil.rmtree(tmp_path / "run")
    trainer.save_copy(tmp_path / "saved")
    resumed = make_trainer("saved", resume=True, lora_rank=2, beta=0.1)
    resumed.train()
    assert same_weights(weights_of(whole), weights_of(resumed))


def test_a_step_that_could_not_be_recorded_is_in_the_copy(
    make_trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_trainer("whole")
    whole.train()
    trainer = make_trainer()
    trainer.train(3)

    def gone_in_mid_step(*args):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return apply_gradient(*args)

    monkeypatch.setattr("workbench.training.trainer.apply_gradient", gone_in_mid_step)
    with pytest.raises(RecordGoneError, match="step 4 was not recorded"):
        trainer.train()
    monkeypatch.undo()
    trainer.save_copy(tmp_path / "saved")
    assert Run.open(tmp_path / "saved").last_step() == 4
    resumed = make_trainer("saved", resume=True)
    assert resumed.steps_done == 4
    resumed.train()
    assert same_weights(weights_of(whole), weights_of(resumed))


def test_a_folder_that_is_replaced_before_the_first_step_is_left_alone(
    make_trainer, tmp_path: Path
) -> None:
    from workbench.training.trainer import Trainer

    def replaced(trainer: Trainer):
        replace_by_another(tmp_path / "run")
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "evaluate", replaced)
        with pytest.raises(KeyboardInterrupt):
            make_trainer()
    assert Run.open(tmp_path / "run").last_step() == 0


def test_a_run_that_was_taken_over_saves_no_checkpoint_into_it(
    make_trainer, tmp_path: Path
) -> None:
    """A checkpoint of the first would be ahead of the record that the second has cut back."""
    first = make_trainer(save_steps=100)
    for _ in range(3):
        first.step()
    second = make_trainer(save_steps=100, resume=True)
    assert second.steps_done == 0
    with pytest.raises(Exception, match="another writer has taken the run over"):
        first.save()
    assert checkpoints.steps_in(tmp_path / "run/checkpoints") == [0]


def test_a_session_says_it_and_can_write_what_it_holds(make_session, tmp_path: Path) -> None:
    session = make_session()
    session.step(2).wait()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(SessionError, match=r"was deleted, moved or replaced.*save_copy"):
        session.start().wait()
    # Whoever tries again is told again, and nothing is made anew in the old place.
    with pytest.raises(SessionError, match="was deleted, moved or replaced"):
        session.start().wait()
    assert not (tmp_path / "run").exists()
    session.save_copy(tmp_path / "saved")
    resumed = make_session("saved", resume=True)
    assert (resumed.step_number, resumed.status) == (2, "ready")
    resumed.step().wait()
    assert resumed.run.steps().step.tolist() == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("befall", MISHAPS)
def test_a_session_gives_its_memory_back_without_its_record(
    make_session, tmp_path: Path, befall: Callable[[Path], None]
) -> None:
    session = make_session()
    session.step(1).wait()
    model = weakref.ref(session.trainer.policy.model)
    befall(tmp_path / "run")
    before = entries(tmp_path)
    with pytest.warns(RunWarning, match="was deleted, moved or replaced"):
        session.free()
    assert (session.status, session.trainer) == ("freed", None)
    assert model() is None
    assert set(entries(tmp_path)) <= set(before)
    session.free()  # a second time does nothing


def test_a_session_stops_without_its_record_and_can_still_be_copied(
    make_session, tmp_path: Path
) -> None:
    session = make_session()
    session.step(1).wait()
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(RunWarning, match="was deleted, moved or replaced"):
        session.stop()
    assert session.status == "stopped"
    session.stop()
    session.save_copy(tmp_path / "saved")
    assert make_session("saved", resume=True).step_number == 1


def test_a_session_whose_run_was_taken_over_gives_its_memory_back(
    make_session, tmp_path: Path
) -> None:
    session = make_session()
    session.step(1).wait()
    with (
        RunWriter.resume(tmp_path / "run", 1),
        pytest.warns(RunWarning, match="another writer has taken the run over"),
    ):
        session.free()
    assert session.trainer is None
    # What became of the run is the other writer's to say.
    assert Run.open(tmp_path / "run").meta.status == "interrupted"


def test_a_record_that_cannot_be_written_does_not_keep_the_memory(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session()
    session.step(1).wait()

    def full(*args, **facts):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("workbench.runs.store.rows.put_meta", full)
    with pytest.warns(RunWarning, match="database or disk is full"):
        session.free()
    assert (session.status, session.trainer) == ("freed", None)


def test_a_session_that_was_moved_in_mid_step_keeps_the_step(make_session, tmp_path: Path) -> None:
    calls = []

    def moved(completions, **columns):
        calls.append(len(completions))
        if len(calls) == 2:
            (tmp_path / "run").rename(tmp_path / "moved")
        return digits_reward(completions)

    session = make_session(rewards=moved)
    with pytest.raises(SessionError, match="step 2 was not recorded"):
        session.start().wait()
    session.save_copy(tmp_path / "saved")
    assert Run.open(tmp_path / "saved").steps().step.tolist() == [1, 2]
    assert checkpoints.steps_in(tmp_path / "saved/checkpoints") == [2]


def test_a_copy_is_never_written_over_a_run(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer()
    make_trainer("other").train(1)
    with pytest.raises(Exception, match="holds a run already"):
        trainer.save_copy(tmp_path / "other")
    assert Run.open(tmp_path / "other").last_step() == 1


def test_a_finished_run_can_be_copied_too(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer.train()
    trainer.save_copy(tmp_path / "saved")
    assert make_trainer("saved", resume=True).steps_done == 6


def test_a_record_that_goes_unnoticed_is_told_of_when_it_is_closed(
    make_trainer, tmp_path: Path
) -> None:
    trainer = make_trainer()
    trainer.step()
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(RunWarning, match="was deleted, moved or replaced"):
        trainer.run.close()
