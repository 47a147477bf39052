"""`workbench compare --exact`."""

from __future__ import annotations

import json
from pathlib import Path

from runs.test_exact import at_two, record, small_step


def test_two_runs_are_compared_to_the_last_bit(workbench, tmp_path: Path) -> None:
    record(tmp_path / "a")
    record(tmp_path / "b")
    other = at_two(metrics=small_step(2).metrics | {"reward": 0.5})
    record(tmp_path / "c", other)
    printed = workbench("compare", "--exact", "a", "b", cwd=tmp_path).stdout
    assert printed.startswith("equal to the last bit: 3 steps, ")
    assert "Not compared: times, seconds, versions, events." in printed
    printed = workbench("compare", "--exact", "a", "c", cwd=tmp_path, code=1).stdout
    assert printed.startswith("they part at step 2, steps, reward: 0.25 and 0.5 (in a and in c).")
    found = json.loads(
        workbench("compare", "--exact", "a", "c", "--json", cwd=tmp_path, code=1).stdout
    )
    assert (found["equal"], found["first"]["step"], found["first"]["values"]) == (
        False,
        2,
        [0.25, 0.5],
    )


def test_what_has_no_use_beside_it_is_refused(workbench, tmp_path: Path) -> None:
    record(tmp_path / "a")
    said = workbench("compare", "--exact", "a", "a", "--seeds", "3", cwd=tmp_path, code=2).stderr
    assert "--exact has no use for --seeds" in said
    said = workbench("compare", "--exact", "a", "b", cwd=tmp_path, code=2).stderr
    assert "no run record there" in said
