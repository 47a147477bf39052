"""`kill -9` at random moments: the record is whole up to the last step that was recorded, and goes
on from there."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from runs.run_examples import assert_whole

from workbench.runs import Run, is_run_record

TESTS = Path(__file__).parents[1]
KILLS = {"write-ahead log": 15, "rollback journal": 8}
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from runs.run_examples import example_step, new_run, pieces
from workbench.runs import Run, RunWriter, is_run_record
from pathlib import Path

path = Path(sys.argv[2])
if sys.argv[3] == "rollback journal":
    from workbench.runs.store import opening
    opening.wal_refusal = lambda file: "this is a test"
print("go", flush=True)
if is_run_record(path):
    writer = RunWriter.resume(path, max(Run(path).last_step() - 1, 0), pieces=pieces)
else:
    writer = new_run(path)
while True:
    writer.write_step(example_step(writer.last_step + 1))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX notion")
@pytest.mark.parametrize("mode", KILLS)
def test_killed_at_random_moments(tmp_path, mode):
    chance = random.Random(0)
    lasts = [0]
    for kill in range(KILLS[mode]):
        kill_after(
            chance.uniform(0, 0.1 if kill < 5 else 0.3), tmp_path, mode, lasts
        )  # the first ones fall into the making of the file
    for _ in range(10):  # a busy machine writes few steps in that time
        if max(lasts) <= 10:
            kill_after(chance.uniform(0.5, 2), tmp_path, mode, lasts)
    assert max(lasts) > 10, "too few steps were written for this test to mean anything"
    assert_whole(Run(tmp_path), lasts[-1])
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kill_after(seconds, folder, mode, lasts):
    """Start the writer, kill it after so many seconds, check the record; its last step goes into
    `lasts`."""
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(TESTS), str(folder), mode]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"go\n"
    time.sleep(seconds)
    child.kill()
    child.wait()
    child.stdout.close()
    if is_run_record(folder):
        lasts.append(Run(folder).last_step())
        assert_whole_ends(Run(folder), lasts[-1])


def assert_whole_ends(run: Run, last: int) -> None:
    """Cheap check after each kill: no gap, and nothing half-written at the end."""
    assert run.steps()["step"].tolist() == list(range(1, last + 1))
    if last:
        assert len(run.samples(last)) == 6
        assert run.batch(last)["logp_BT"].shape == run.batch(last)["ids_BT"].shape
        assert run.events()["step"].max() == last
        assert run.tokens(last)["piece"].notna().all()
