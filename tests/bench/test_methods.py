"""The matrix of methods: its rows, and its table by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import recorded_methods
from workbench.bench.cases import CASES, cases_named, config_of
from workbench.bench.methods import SHIPPED, methods_table
from workbench.bench.published import BenchError
from workbench.config import METHODS

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def result(case: str, seed: int, *accuracy: float) -> dict[str, Any]:
    steps = [10 * i for i in range(len(accuracy))]
    return {
        "case": case,
        "seed": seed,
        "steps": steps,
        "accuracy": list(accuracy),
        "problems": 100,
        "seconds_per_step": 1.0 + seed,
    }


def test_every_method_has_a_row_and_its_config(tmp_path: Path) -> None:
    assert set(METHODS) < set(CASES)
    for case in cases_named(None):
        config = config_of(case, 3, 20, 50, tmp_path)
        assert (config.method, config.seed, config.max_steps) == (case.method, 3, 20)
        assert (config.reward_weights == (1.0, 0.0)) == case.by_model
    with pytest.raises(BenchError, match="'ppoo' is unknown.*online_rft"):
        cases_named(["grpo", "ppoo"])


def test_the_table_by_hand() -> None:
    found = [
        result("control", 0, 0.4, 0.4),
        result("grpo", 0, 0.3, 0.7, 0.9),
        result("grpo", 1, 0.5, 0.9, 1.0),
    ]
    table = methods_table(found, {"date": "2026-01-02", "cpu": "<b>"})
    assert [row.name for row in table.rows] == ["grpo", "control"]
    grpo, control = table.rows
    assert grpo.mean == pytest.approx(0.95)
    assert grpo.curve == pytest.approx((0.4, 0.8, 0.95))
    # Student's t of one degree of freedom: 12.706 x 0.0707 / sqrt(2) = 0.635, cut at 1.
    assert grpo.interval == pytest.approx((0.95 - 0.63530, 1.0), abs=1e-4)
    assert all(math.isnan(end) for end in control.interval)
    assert grpo.seconds_per_step == 1.5
    page = table._repr_html_()
    assert "<b>" not in page.replace("<b>grpo", "")
    assert "control" in page
    with pytest.raises(BenchError, match="different matrices"):
        methods_table([result("grpo", 0, 0.1, 0.2), result("grpo", 1, 0.1)], {})
    with pytest.raises(BenchError, match="no run of the matrix"):
        methods_table([], {})


def test_what_is_shipped_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = recorded_methods()
    assert {row.name for row in table.rows} == set(CASES)
    assert all(len(row.after) >= 5 for row in table.rows)
    assert table.about["date"]
    assert table.to_dict()["rows"] == json.loads(SHIPPED.read_text())["rows"]
    # Measured before the policy was remade: a reader is told whose figures these are.
    policy = json.loads(SHIPPED.read_text())["about"]["policy"]
    assert "sha256" in policy
    assert policy in table.summary()
    page = table.save_html(tmp_path / "methods.html").read_text()
    assert "plotly" in page
    assert "reinforce_pp" in page
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(BenchError, match="no matrix of methods"):
        recorded_methods(tmp_path / "other.json")
