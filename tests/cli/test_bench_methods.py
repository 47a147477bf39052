"""`workbench bench methods`: what is finished is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.bench.cases import cases_named
from workbench.bench.matrix import jobs_of


@pytest.mark.slow
def test_a_matrix_is_made_once_and_gone_on_with(
    tmp_path: Path, workbench: Callable[..., CompletedProcess[str]]
) -> None:
    asked = ["bench", "methods", "--methods", "rloo,control", "--steps", "1", "--problems", "10"]
    first = workbench(*asked, "--seeds", "1", "--out", "m", "--json", cwd=tmp_path)
    assert [row["method"] for row in json.loads(first.stdout)["rows"]] == ["rloo", "control"]
    jobs = jobs_of(cases_named(["rloo"]), 1, tmp_path / "m", 1, 10)
    assert jobs[0].is_done
    record = jobs[0].folder / "run.sqlite"
    before = record.read_bytes()
    second = workbench(*asked, "--seeds", "2", "--out", "m", "--jobs", "2", cwd=tmp_path)
    assert "rloo" in second.stdout
    assert record.read_bytes() == before
