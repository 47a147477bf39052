"""`workbench runs --check` and `workbench repair`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from runs.crafted import small_record


def test_runs_are_looked_through_and_what_is_whole_is_kept(workbench, tmp_path: Path) -> None:
    small_record(tmp_path / "runs" / "a")
    file = small_record(tmp_path / "runs" / "b")
    said = workbench("runs", "--check", cwd=tmp_path).stdout
    assert "2 runs looked through, 0 of them damaged." in said
    assert workbench("repair", "runs/b", cwd=tmp_path).stdout.startswith("runs/b is whole: 3 steps")
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE samples SET reward = 9 WHERE step = 2")
    said = workbench("runs", "--check", cwd=tmp_path, code=1).stdout.replace("\n", "")
    assert "damaged at step 2, in the table samples" in said
    assert "workbench repair" in said
    lines = workbench("runs", "--check", "runs", "--json", cwd=tmp_path, code=1).stdout.splitlines()
    assert [json.loads(line)["whole"] for line in lines] == [True, False]
    said = workbench("repair", "runs/b", cwd=tmp_path).stdout
    assert "left out: the groups and samples of step 2." in said
    assert "runs/b is as it was" in said.replace("\n", " ")
    workbench("runs", "--check", "runs/b-repaired", cwd=tmp_path)
    found = workbench("repair", "runs/b", "--out", "mended", "--json", cwd=tmp_path).stdout
    assert json.loads(found)["steps"] == 3
    said = workbench("repair", "runs/b", "--out", "mended", cwd=tmp_path, code=2).stderr
    assert "is there already" in said
