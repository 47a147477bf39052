"""`kill -9` at random moments: the record is whole up to the last step that was recorded, and goes
on from there."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from runs.run_examples import assert_whole

from workbench.runs import Run, is_run_record

TESTS = Path(__file__).parents[1]
KILLS = {"write-ahead log": 15, "rollback journal": 8}
NURSERY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from runs.run_examples import example_step, new_run, pieces
from workbench.runs import Run, RunWriter, is_run_record
from pathlib import Path

path = Path(sys.argv[2])
if sys.argv[3] == "rollback journal":
    from workbench.runs.store import opening
    opening.wal_refusal = lambda file: "this is a test"

def write_until_killed():
    if is_run_record(path):
        writer = RunWriter.resume(path, max(Run.open(path).last_step() - 1, 0), pieces=pieces)
    else:
        writer = new_run(path)
    while True:
        writer.write_step(example_step(writer.last_step + 1))

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write_until_killed()
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""
"""A process that has imported everything and opened nothing: it forks a writer for each line that
it reads, says its number, and when it is gone. So a kill costs no start of Python."""


@pytest.fixture
def nursery(tmp_path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """The process that forks writers of the record in `tmp_path`."""
    command = [sys.executable, "-W", "ignore", "-c", NURSERY, str(TESTS), str(tmp_path), mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and fork are POSIX notions")
@pytest.mark.parametrize("mode", KILLS)
def test_killed_at_random_moments(
    tmp_path: Path, mode: str, nursery: subprocess.Popen[str]
) -> None:
    chance = random.Random(0)
    lasts = [0]
    for kill in range(KILLS[mode]):
        # The first ones fall into the making of the file.
        kill_after(chance.uniform(0, 0.1 if kill < 5 else 0.3), tmp_path, nursery, lasts)
    for _ in range(10):  # a busy machine writes few steps in that time
        if max(lasts) <= 10:
            kill_after(chance.uniform(0.5, 2), tmp_path, nursery, lasts)
    assert max(lasts) > 10, "too few steps were written for this test to mean anything"
    assert_whole(Run.open(tmp_path), lasts[-1])
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kill_after(
    seconds: float, folder: Path, nursery: subprocess.Popen[str], lasts: list[int]
) -> None:
    """Start a writer, kill it after so many seconds, check the record; its last step goes into
    `lasts`."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    print("go", file=nursery.stdin, flush=True)
    writer = int(nursery.stdout.readline())
    time.sleep(seconds)
    os.kill(writer, signal.SIGKILL)
    assert nursery.stdout.readline() == "gone\n"
    if is_run_record(folder):
        lasts.append(Run.open(folder).last_step())
        assert_whole_ends(Run.open(folder), lasts[-1])


def assert_whole_ends(run: Run, last: int) -> None:
    """Cheap check after each kill: no gap, and nothing half-written at the end."""
    assert run.steps()["step"].tolist() == list(range(1, last + 1))
    if last:
        assert len(run.samples(last)) == 6
        assert run.batch(last)["logp_BT"].shape == run.batch(last)["ids_BT"].shape
        assert run.events()["step"].max() == last
        assert run.tokens(last)["piece"].notna().all()
