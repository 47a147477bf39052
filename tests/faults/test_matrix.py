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
from fault_matrix import (  # noqa: E402
    BEGIN,
    END,
    HEALTHY,
    PAGE,
    config_of,
    is_named,
    shown_on_the_page,
    table_of,
)


@pytest.fixture(scope="module")
def matrix() -> dict[str, Any]:
    """The newest one."""
    made = sorted((ROOT / "benchmarks" / "results").glob("fault-matrix-*.json"))
    if not made:
        pytest.skip("no matrix is committed: python benchmarks/fault_matrix.py makes one")
    found: dict[str, Any] = json.loads(made[-1].read_text())
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
    shown = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert shown.strip() == shown_on_the_page(matrix).strip()


def test_the_table_counts_what_names_a_fault_and_every_alarm_of_a_healthy_run() -> None:
    def run(fault: str | None, *keys: str, severity: str = "problem") -> dict[str, Any]:
        found = dict.fromkeys(keys, severity)
        return {"fault": fault, "setting": "", "seed": 0, "findings": found}

    table = table_of(
        [
            run("inverted_k3", "kl_inverted", "kl_high"),
            run("inverted_k3", "kl_high"),
            run("reward_always_one", "rewards_all_equal"),
            run(None, "loss_near_zero", severity="note"),
            run(None, "advantage_sign"),
        ]
    )
    rows = {line.split("|")[1].strip(): line.split("|")[2:5] for line in table.splitlines()}
    assert [cell.strip() for cell in rows["inverted_k3"]] == [
        "1 of 2",
        "`kl_inverted` 1",
        "`kl_high` 2",
    ]
    assert rows["reward_always_one"][0].strip() == "1 of 1"
    assert [cell.strip() for cell in rows["(healthy)"]] == [
        "1 false alarms in 2 runs",
        "`advantage_sign` 1",
        "–",
    ]


@pytest.mark.parametrize("setting", HEALTHY)
def test_every_healthy_setting_is_a_config(setting: str) -> None:
    config = config_of(HEALTHY[setting], 3)
    assert config.seed == 3
    assert config.method == HEALTHY[setting].get("method", "grpo")
