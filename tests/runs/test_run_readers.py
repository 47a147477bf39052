"""Reading: beside a writer, on a read-only folder, without torch, and files that are something
else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from runs.run_examples import (
    assert_whole,
    example_step,
    example_tokens,
    new_run,
    pieces,
    stored_run,
)

from workbench.runs import (
    Run,
    RunNotFoundError,
    RunRecordError,
    RunWarning,
    RunWriter,
    is_run_record,
)
from workbench.runs.store import files, opening

TESTS = Path(__file__).parents[1]


def watch(path: Path, until: int) -> list[int]:
    """Reads a growing record until it has so many steps; the last steps that were seen on the
    way."""
    run, seen = Run.open(path), [0]
    while seen[-1] < until:
        steps = run.steps(since=seen[-1])
        if len(steps):
            last = int(steps["step"].iloc[-1])
            assert steps["step"].tolist() == list(range(seen[-1] + 1, last + 1))
            seen.append(last)
            batch, tokens = run.batch(seen[-1]), example_tokens(seen[-1])
            assert (
                batch["old_logp_BT"][batch["mask_BT"]].tobytes()
                == tokens.floats["old_logp"].tobytes()
            )
    return seen


def test_readers_in_threads_and_in_another_process_see_whole_steps(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); from pathlib import Path\n"
        f"from runs import test_run_readers as t; print(len(t.watch(Path({str(tmp_path)!r}), "
        "80)), flush=True)"
    )
    with new_run(tmp_path, 1) as writer:
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        found: dict[int, list[int]] = {}

        def read_along(i: int) -> None:
            found[i] = watch(tmp_path, 80)

        threads = [threading.Thread(target=read_along, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for step in range(2, 81):
            writer.write_step(example_step(step))
            threads[0].join(0.01)
        for thread in threads:
            thread.join(60)
        out, _ = other.communicate(timeout=60)
    assert other.returncode == 0
    assert int(out) >= 2
    assert sorted(found) == [0, 1]
    assert all(len(seen) > 10 and seen[-1] == 80 for seen in found.values())


def test_a_writer_may_be_used_from_several_threads(tmp_path):
    from workbench.runs import Event

    with new_run(tmp_path) as writer:
        threads = [
            threading.Thread(
                target=lambda: [writer.write_event(Event("notice", "x")) for _ in range(20)]
            )
        ]
        threads.append(
            threading.Thread(
                target=lambda: [writer.write_step(example_step(s)) for s in range(1, 21)]
            )
        )
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = Run.open(tmp_path).events()
    assert (events["kind"] == "notice").sum() == 20
    assert_whole(Run.open(tmp_path), 20)


def test_reading_a_stored_run_leaves_no_trace(tmp_path):
    new_run(tmp_path, 3).finish()
    file = tmp_path / "run.sqlite"
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    assert_whole(Run.open(tmp_path), 3)
    assert os.listdir(tmp_path) == ["run.sqlite"]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_reading_a_killed_run_leaves_the_record_alone(tmp_path):
    writer = new_run(tmp_path / "a", 3)
    shutil.copytree(
        tmp_path / "a", tmp_path / "b"
    )  # as after kill -9: the last steps are in the log
    writer.close()
    log = (tmp_path / "b" / "run.sqlite-wal").read_bytes()
    before = (tmp_path / "b" / "run.sqlite").read_bytes()
    assert len(log) > 0
    assert_whole(Run.open(tmp_path / "b"), 3)
    assert (tmp_path / "b" / "run.sqlite").read_bytes() == before
    assert (tmp_path / "b" / "run.sqlite-wal").read_bytes() == log


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder(tmp_path):
    new_run(tmp_path / "run", 3).finish()
    file = tmp_path / "run" / "run.sqlite"
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        if os.geteuid() == 0:
            _read_as_nobody(file)
        else:
            assert_whole(Run.open(file), 3)
    finally:
        file.parent.chmod(0o755)


def _read_as_nobody(file: Path) -> None:
    """Root may write anywhere: read in a child that has given up being root."""
    folders = [f for f in file.parents if f.owner() == "root" and f.stat().st_mode & 0o077 == 0]
    for folder in folders:  # pytest's own folders are private
        folder.chmod(0o711)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            os.write(writer, str(Run.open(file).batch(3)["ids_BT"].sum()).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    answer = os.read(reader, 1000).decode()
    os.close(reader)
    for folder in folders:
        folder.chmod(0o700)
    assert answer == str(example_tokens(3).ids.sum())


def test_a_file_system_without_wal(tmp_path, monkeypatch):
    # SQLite's own file layer without shared memory stands for a mounted cloud drive
    plain = files.uri
    monkeypatch.setattr(
        files, "uri", lambda file, options: plain(file, options + "&vfs=unix-dotfile")
    )
    monkeypatch.setattr(opening, "uri", files.uri)
    with pytest.warns(RunWarning, match="cannot carry SQLite's write-ahead log"):
        writer = new_run(tmp_path)
    for step in range(1, 4):
        writer.write_step(example_step(step))
        assert Run.open(tmp_path).last_step() == step
    assert not (tmp_path / "run.sqlite-wal").exists()
    assert Run.open(tmp_path).meta.journal_mode == "delete"
    writer.finish()
    assert_whole(Run.open(tmp_path), 3)
    with pytest.warns(RunWarning), RunWriter.resume(tmp_path, 1, pieces=pieces) as writer:
        writer.write_step(example_step(2))
    assert_whole(Run.open(tmp_path), 2)


def test_a_wal_record_goes_on_where_wal_is_refused(tmp_path, monkeypatch):
    writer = new_run(tmp_path / "a", 3)
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("*-shm"))
    writer.close()
    plain = files.uri
    monkeypatch.setattr(
        files, "uri", lambda file, options: plain(file, options + "&vfs=unix-dotfile")
    )
    monkeypatch.setattr(opening, "uri", files.uri)
    with pytest.warns(RunWarning), RunWriter(tmp_path / "b" / "run.sqlite", pieces) as resumed:
        resumed.write_step(example_step(4))
    assert_whole(Run.open(tmp_path / "b"), 4)


def test_a_folder_or_a_file_with_an_odd_name(tmp_path):
    folder = tmp_path / "run #1 50% ?mode=rw ünï"
    new_run(folder, 1).close()
    assert_whole(Run.open(folder), 1)
    assert_whole(Run.open(str(folder / "run.sqlite")), 1)
    new_run(tmp_path / "other.sqlite", 1).close()
    assert_whole(Run.open(tmp_path / "other.sqlite"), 1)


def make_other_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE steps (x)")


def make_newer(file: Path) -> None:
    new_run(file).close()
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 99")


def make_truncated(file: Path) -> None:
    new_run(file, 5).close()
    file.write_bytes(file.read_bytes()[:9000])


BAD_FILES = {
    "random bytes": (
        lambda f: f.write_bytes(np.random.default_rng(0).bytes(20_000)),
        "is not a run record",
    ),
    "a text": (lambda f: f.write_text("hello"), "is not a run record"),
    "other SQLite": (make_other_sqlite, "is not a run record"),
    "newer": (make_newer, r"format version 99; this workbench reads up to 1. Update"),
    "empty": (lambda f: f.touch(), "is empty"),
    "cut off": (make_truncated, "is damaged"),
    "a folder": (lambda f: f.mkdir(), "is not a file"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_are_no_record(tmp_path, kind):
    make, message = BAD_FILES[kind]
    file = tmp_path / "x.sqlite"
    make(file)
    with pytest.raises(RunRecordError, match=message):
        Run.open(file).steps()


def test_a_missing_file(tmp_path):
    with pytest.raises(RunNotFoundError, match="no run record there"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        Run.open(tmp_path / "nothing.sqlite")
    assert not is_run_record(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_flipped_byte_in_an_array_is_noticed(tmp_path):
    run = stored_run(tmp_path)
    with closing(sqlite3.connect(run.path)) as db:
        blob = bytearray(
            db.execute("SELECT data FROM arrays WHERE step = 2 AND name = 'ids'").fetchone()[0]
        )
        blob[len(blob) // 2] ^= 255
        db.execute("UPDATE arrays SET data = ? WHERE step = 2 AND name = 'ids'", (bytes(blob),))
        db.commit()
    with pytest.raises(RunRecordError, match="is damaged"):
        run.tokens(2)


@pytest.mark.parametrize("step", [0, 4, -1])
def test_a_step_that_is_not_there(tmp_path, step):
    run = stored_run(tmp_path)
    for ask in (run.samples, run.tokens, run.batch, run.groups):
        with pytest.raises(
            RunRecordError, match=f"step {step} is not in the record, which holds steps 1 to 3"
        ):
            ask(step)


def test_reading_and_writing_need_no_torch(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); from pathlib import Path\nimport "
        "workbench.runs\nassert 'pandas' not in sys.modules, 'pandas is imported before it is "
        "needed'\nfrom runs.run_examples import stored_run, assert_whole\nrun = "
        f"stored_run(Path({str(tmp_path)!r}), 2); assert_whole(run, 2); run.groups(2)\nassert "
        "run.meta.environment['gpus'] is None\nprint([m for m in sys.modules if "
        "m.partition('.')[0] in ('torch', 'transformers')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_a_numpy_step_is_a_step(tmp_path) -> None:
    import numpy as np
    from made_runs import make_run

    run = make_run(tmp_path / "run", steps=4, knobs={3: {"beta": 0.5}})
    assert run.config_at(np.int64(3)) == run.config_at(3) != run.config_at(2)
    assert len(run.samples(np.int64(2))) == len(run.samples(2)) > 0
    assert len(run.tokens(np.int64(2))) == len(run.tokens(2)) > 0
