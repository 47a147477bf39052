"""The committed matrix of faults and findings: what it promises, and that the page shows it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.faults import FAULTS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from fault_matrix import HEALTHY, config_of, is_named, table_of  # noqa: E402


@pytest.fixture(scope="module")
def matrix() -> dict[str, Any]:
    """The newest one."""
    newest = max((ROOT / "benchmarks" / "results").glob("fault-matrix-*.json"))
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def test_the_doctor_names_the_faults_and_leaves_healthy_runs_alone(matrix: dict[str, Any]) -> None:
    named = {}
    for fault in FAULTS:
        own = [run for run in matrix["runs"] if run["fault"] == fault]
        assert len({run["seed"] for run in own}) >= 5, fault
        named[fault] = sum(is_named(run) for run in own) / len(own)
    assert sum(share >= 0.8 for share in named.values()) >= 12, named

    naming = {key for kind in FAULTS.values() for key in kind.finding_keys}
    healthy = [run for run in matrix["runs"] if run["fault"] is None]
    assert len(healthy) >= 20
    assert {run["setting"] for run in healthy} == set(HEALTHY)
    alarms = [run for run in healthy if naming & set(run["findings"])]
    assert len(alarms) * 20 <= len(healthy), alarms


def test_the_page_shows_the_committed_matrix(matrix: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    shown = page.split("<!-- matrix -->")[1].split("<!-- /matrix -->")[0]
    assert table_of(matrix["runs"]).strip() in shown
    assert matrix["date"] in shown
    assert matrix["machine"] in shown


@pytest.mark.parametrize("setting", HEALTHY)
def test_every_healthy_setting_is_a_config(setting: str) -> None:
    config = config_of(HEALTHY[setting], 3)
    assert config.seed == 3
    assert config.method == HEALTHY[setting].get("method", "grpo")
