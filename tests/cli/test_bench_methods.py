"""`workbench bench methods`: what is finished is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.experiment import Experiment
from workbench.experiment.store import is_done


@pytest.mark.slow
def test_a_matrix_is_made_once_and_gone_on_with(
    tmp_path: Path, workbench: Callable[..., CompletedProcess[str]]
) -> None:
    asked = ["bench", "methods", "--methods", "rloo,control", "--steps", "1", "--problems", "10"]
    first = workbench(*asked, "--seeds", "1", "--out", "m", "--json", cwd=tmp_path)
    assert [row["method"] for row in json.loads(first.stdout)["rows"]] == ["rloo", "control"]
    assert is_done(tmp_path / "m/rloo-seed0")
    # It is an experiment like any other, whose control is one of the rows.
    control = Experiment.open(tmp_path / "m").plan.variants[1]
    assert (control.name, control.control) == ("control", "shuffled")
    record = tmp_path / "m/rloo-seed0/run.sqlite"
    before = record.read_bytes()
    second = workbench(*asked, "--seeds", "2", "--out", "m", "--jobs", "2", cwd=tmp_path)
    assert "rloo" in second.stdout
    assert record.read_bytes() == before
