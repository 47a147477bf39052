"""Resume, branch, the end of a run, and who may write."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from runs.run_examples import CONFIG, assert_whole, example_step, new_run, pieces, stored_run

from workbench.runs import (
    Evaluation,
    Event,
    Run,
    RunRecordError,
    RunWriter,
    StepExistsError,
    TakenOverError,
)
from workbench.runs.environment import _process_start
from workbench.runs.store.rows import put_meta

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("step", [0, 1, 6, 10])
def test_resume_cuts_exactly(tmp_path, step):
    new_run(tmp_path, 10).close()
    with RunWriter.resume(tmp_path, step, pieces=pieces) as writer:
        assert writer.last_step == step
        assert_whole(Run.open(tmp_path), step)
        for again in range(step + 1, 13):
            writer.write_step(example_step(again))
    run = Run.open(tmp_path)
    assert_whole(run, 12)
    events = run.events()
    assert events[events["kind"] == "resume"]["text"].tolist() == [
        f"resumed after step {step}; {10 - step} later steps removed"
    ]


def test_what_came_before_the_first_step_stays(tmp_path):
    with new_run(tmp_path, 2) as writer:
        writer.write_evaluation(0, Evaluation("heldout", 10, 3))
        writer.write_event(Event("notice", "loaded"), step=0)
    RunWriter.resume(tmp_path, 0).close()
    run = Run.open(tmp_path)
    assert run.evaluations()["step"].tolist() == [0]
    assert run.events()["text"].tolist()[0] == "loaded"


def test_a_view_that_polls_sees_that_the_record_was_cut(tmp_path):
    new_run(tmp_path, 3).close()
    before = Run.open(tmp_path).position()
    with RunWriter.resume(tmp_path, 1) as writer:
        writer.write_step(example_step(2))
        writer.write_step(example_step(3))
    assert before == (0, 3)
    assert Run.open(tmp_path).position() == (1, 3)


@pytest.mark.parametrize("step", [-1, 4])
def test_resume_and_branch_refuse_a_step_that_is_not_there(tmp_path, step):
    new_run(tmp_path / "a", 3).close()
    with pytest.raises(RunRecordError, match=f"steps 1 to 3: it cannot go on from step {step}"):
        RunWriter.resume(tmp_path / "a", step)
    with pytest.raises(RunRecordError, match=f"from step {step}"):
        RunWriter.branch(tmp_path / "a", tmp_path / "b", step)
    assert not (tmp_path / "b").exists()


def test_a_step_is_never_recorded_twice_nor_skipped(tmp_path):
    with new_run(tmp_path, 3) as writer:
        with pytest.raises(
            StepExistsError, match=r"step 2 is recorded already.*ends at step 3.*resume\(path, 1\)"
        ):
            writer.write_step(example_step(2))
        with pytest.raises(RunRecordError, match="step 5 cannot follow step 3"):
            writer.write_step(example_step(5))
    assert_whole(Run.open(tmp_path), 3)


def test_create_never_overwrites(tmp_path):
    new_run(tmp_path, 2).close()
    with pytest.raises(RunRecordError, match="holds a run already"):
        new_run(tmp_path)
    note = tmp_path / "note.sqlite"
    note.write_text("my shopping list")
    with pytest.raises(RunRecordError, match="is not a run record"):
        new_run(note)
    assert note.read_text() == "my shopping list"
    assert_whole(Run.open(tmp_path), 2)


def test_create_takes_over_what_a_killed_create_left(tmp_path):
    (tmp_path / "run.sqlite").touch()
    (tmp_path / "run.sqlite-wal").write_bytes(b"stale log")
    (tmp_path / ".run.sqlite.new").write_bytes(b"half a draft")
    new_run(tmp_path, 1).close()
    assert_whole(Run.open(tmp_path), 1)
    assert [file.name for file in tmp_path.iterdir()] == ["run.sqlite"]


@pytest.mark.parametrize("step", [0, 4, 6])
@pytest.mark.parametrize("parent_is_live", [False, True])
def test_branch(tmp_path, step, parent_is_live):
    parent = new_run(tmp_path / "parent", 6)
    if not parent_is_live:
        parent.finish()
    with RunWriter.branch(
        tmp_path / "parent", tmp_path / "child", step, name="more beta", pieces=pieces
    ) as child:
        for again in range(step + 1, 8):
            child.write_step(example_step(again))
    parent.close()
    run, old = Run.open(tmp_path / "child"), Run.open(tmp_path / "parent")
    assert_whole(run, 7)
    assert_whole(old, 6)
    assert (run.meta.parent_id, run.meta.parent_name, run.meta.branch_step) == (
        old.meta.id,
        "example",
        step,
    )
    assert run.meta.id != old.meta.id
    assert run.meta.name == "more beta"
    assert run.config == CONFIG
    assert run.tokens(6)["piece"].tolist() == old.tokens(6)["piece"].tolist()


def test_status_of_a_run_through_its_life(tmp_path):
    writer = new_run(tmp_path, 1)
    run = Run.open(tmp_path)
    assert run.meta.status == "running"
    assert run.is_live()
    writer.close()
    assert run.meta.status == "interrupted"
    RunWriter.resume(tmp_path, 1).finish("stopped", "the user's wish")
    assert (run.meta.status, run.meta.reason) == ("stopped", "the user's wish")
    assert not run.is_live()
    RunWriter.resume(tmp_path, 1).finish()
    assert (run.meta.status, run.meta.reason) == ("finished", "")


def test_a_forgotten_writer_is_not_alive(tmp_path):
    writer = new_run(tmp_path, 1)
    del writer
    assert Run.open(tmp_path).meta.status == "interrupted"
    RunWriter.resume(tmp_path, 1).close()


def test_an_error_in_the_block_marks_the_run_as_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), new_run(tmp_path, 1):
        1 / 0  # noqa: B018
    assert (Run.open(tmp_path).meta.status, Run.open(tmp_path).meta.reason) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )


def test_a_closed_writer_refuses(tmp_path):
    writer = new_run(tmp_path, 1)
    assert not writer.closed
    writer.finish()
    assert writer.closed
    writer.close()
    with pytest.raises(RunRecordError, match="is closed"):
        writer.write_step(example_step(2))
    with pytest.raises(ValueError, match="status='over'"):
        writer.finish("over")


def test_a_second_writer_in_the_same_process_shuts_out_the_first(tmp_path):
    first = new_run(tmp_path, 3)
    second = RunWriter.resume(tmp_path, 1, pieces=pieces)
    for call in (
        lambda: first.write_step(example_step(4)),
        lambda: first.write_event(Event("notice", "x")),
        first.finish,
    ):
        with pytest.raises(TakenOverError, match="another writer has taken the run over"):
            call()
    first.close()
    assert Run.open(tmp_path).is_live()
    second.write_step(example_step(2))
    second.finish()
    assert_whole(Run.open(tmp_path), 2)
    assert Run.open(tmp_path).meta.status == "finished"


def test_a_writer_in_another_process_counts_until_it_dies(tmp_path):
    code = (
        f"import sys, time; sys.path.insert(0, {str(TESTS)!r}); from pathlib import Path\n"
        "from runs.run_examples import new_run\n"
        f"w = new_run(Path({str(tmp_path)!r}), 2); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert Run.open(tmp_path).is_live()
        with pytest.raises(RunRecordError, match=f"process {child.pid}"):
            RunWriter.resume(tmp_path, 1)
        child.send_signal(signal.SIGKILL)
        if sys.platform != "linux":
            child.wait()  # on Linux it stays a zombie here, which has to count as dead, too
        deadline = time.monotonic() + 20
        while Run.open(tmp_path).is_live() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert Run.open(tmp_path).meta.status == "interrupted"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    RunWriter.resume(tmp_path, 2).close()
    assert_whole(Run.open(tmp_path), 2)


def test_a_writer_on_another_machine(tmp_path):
    # as after a cloud machine was lost in mid-run and its folder mounted on the next one
    first = new_run(tmp_path, 2)
    with first._transaction("a test") as db:
        put_meta(
            db,
            writer={"host": "elsewhere", "pid": 1, "process_start": "0", "token": "x"},
            started=1000.0,
        )
    assert Run.open(tmp_path).meta.status == "interrupted", "the last step is of 1970"
    with RunWriter.resume(tmp_path, 2) as second:
        second.write_step(dataclasses.replace(example_step(3), time=time.time()))
        with second._transaction("a test") as db:
            put_meta(db, writer={"host": "elsewhere", "pid": 1, "process_start": "0", "token": "y"})
        assert Run.open(tmp_path).is_live()
        with pytest.raises(TakenOverError):
            second.write_step(example_step(4))
    first.close()


def test_take_over_from_another_process(tmp_path):
    new_run(tmp_path, 2).close()
    with closing(sqlite3.connect(tmp_path / "run.sqlite", isolation_level=None)) as db:
        parent = {"host": socket.gethostname(), "pid": os.getppid(), "token": "x"}
        put_meta(db, writer=parent | {"process_start": _process_start(os.getppid())})
    with pytest.raises(RunRecordError, match=f"process {os.getppid()}"):
        RunWriter.resume(tmp_path, 1)
    RunWriter.resume(tmp_path, 1, take_over=True).close()
    assert_whole(Run.open(tmp_path), 1)


def test_stored_run_is_one_file(tmp_path):
    stored_run(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.sqlite"]
