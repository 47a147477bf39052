"""What was measured: results of `workbench eval --json` and run records, and nothing else."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
from runs.run_examples import stored_run

from workbench import Run
from workbench.bench import benchmark_table, read_measured
from workbench.bench.published import BenchError


def result(**changes) -> dict:
    """What `workbench eval --samples 4 --json` prints, in short."""

    def estimate(value: float) -> dict:
        return {"value": value, "interval": [value - 0.1, value + 0.1], "n": 200}

    return {
        "policy": "me/mine",
        "task": "gsm8k",
        "n": 200,
        "samples": 4,
        "date": "2026-11-27T10:00:00Z",
        "environment": {
            "packages": {"torch": "2.13.0", "pandas": "2.3", "grpo-workbench": "0.1.0"},
            "gpus": ["NVIDIA H100", "NVIDIA H100"],
            "cpu": "EPYC",
            "cpu_count": 2,
        },
        "greedy": estimate(0.5),
        "mean@4": estimate(0.4),
        "maj@4": estimate(0.6),
        "pass@4": estimate(0.8),
        "pass@2": estimate(0.7),
    } | changes


def test_a_result_becomes_a_row_for_each_figure(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(result()))
    rows, problems = read_measured([tmp_path])
    assert problems == []
    assert {row.figure: row.value for row in rows} == pytest.approx(
        {"greedy": 50, "mean@4": 40, "maj@4": 60, "pass@4": 80}
    )
    [greedy] = [row for row in rows if row.figure == "greedy"]
    assert (greedy.policy, greedy.task, greedy.n, greedy.date) == (
        "me/mine",
        "gsm8k",
        200,
        "2026-11-27",
    )
    assert (greedy.low, greedy.high) == pytest.approx((40, 60))
    assert greedy.machine == "NVIDIA H100"
    assert greedy.versions == "grpo-workbench 0.1.0, torch 2.13.0"


def test_results_one_a_line_and_spread_over_lines(tmp_path: Path) -> None:
    (tmp_path / "two.jsonl").write_text(
        json.dumps(result()) + "\n" + json.dumps(result(policy="b")) + "\n"
    )
    (tmp_path / "pretty.json").write_text(json.dumps(result(policy="c"), indent=1))
    rows, _ = read_measured([tmp_path])
    assert {row.policy for row in rows} == {"me/mine", "b", "c"}


def test_a_run_gives_its_first_and_last_evaluation(tmp_path: Path) -> None:
    recorded = resources.files("workbench") / "assets" / "recorded" / "patient.sqlite"
    shutil.copy(str(recorded), tmp_path)
    run = Run.open(tmp_path / "patient.sqlite")
    rows, _ = read_measured([tmp_path])
    evaluations = run.evaluations()
    ends = evaluations.iloc[[0, -1]]
    assert [row.n for row in rows] == list(ends.n)
    assert [row.value for row in rows] == pytest.approx([100 * x for x in ends.accuracy])
    assert all(row.policy.startswith(run.meta.policy) for row in rows)
    assert all(row.machine and row.versions and row.date for row in rows)


def test_what_a_file_does_not_say_is_said_to_be_missing(tmp_path: Path) -> None:
    old = {name: value for name, value in result().items() if name not in ("date", "environment")}
    (tmp_path / "old.json").write_text(json.dumps(old))
    [first, *_] = benchmark_table([tmp_path]).measured_cells()
    assert first[-2:] == ("not recorded", "not recorded")


def test_other_files_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    texts = {
        "a.json": "[1, 2]",
        "b.json": "not json",
        "c.jsonl": json.dumps({"policy": "p", "task": "t", "n": 1, "greedy": "high"}),
        "d.json": json.dumps({"policy": "p"}),
        "e.json": "[" * 100_000,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "f.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "g.sqlite").write_bytes(b"no database")
    assert read_measured([tmp_path]) == ([], [])


def test_a_named_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(BenchError, match="neither a result"):
        read_measured([tmp_path / "a.json"])
    with pytest.raises(BenchError, match="is not there"):
        read_measured([tmp_path / "none"])


def test_a_damaged_record_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(result()))
    broken = Path(stored_run(tmp_path / "r").path)
    broken.write_bytes(broken.read_bytes()[:3000])
    made = benchmark_table([tmp_path])
    assert {row.policy for row in made.measured} == {"me/mine"}
    assert len(made.unreadable) == 1
    assert made.unreadable[0] in made.to_dict()["unreadable"]
