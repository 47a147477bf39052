"""Listing, comparing and exporting runs."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing

import pandas as pd
import pytest
from runs.run_examples import CONFIG, example_samples, example_step, new_run, stored_run

from workbench.runs import (
    Evaluation,
    Run,
    RunWriter,
    StepRecord,
    align_metrics,
    diff_configs,
    export_csv,
    list_runs,
)
from workbench.runs.listing import COLUMNS


def test_list_runs(tmp_path):
    with new_run(tmp_path / "a", 12) as writer:
        writer.write_evaluation(0, Evaluation("heldout", 200, 60))
        writer.write_evaluation(12, Evaluation("heldout", 200, 190))
        writer.write_evaluation(12, Evaluation("train", 10, 1))
        writer.finish("stopped")
    RunWriter.branch(tmp_path / "a", tmp_path / "deep" / "down" / "b", 4, name="branch").close()
    new_run(tmp_path / "c.sqlite", name="no step", task="gsm8k").finish("failed", "out of memory")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.sqlite").write_bytes(b"garbage" * 100)
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as db:
        db.execute("CREATE TABLE x (y)")

    frame = list_runs(tmp_path).set_index("name")
    assert frame.index.tolist()[:3] == ["example", "branch", "no step"]
    assert len(frame) == 4
    a, b, c = (frame.loc[name] for name in ("example", "branch", "no step"))
    assert (a["status"], a["steps"], a["reward_first"], a["reward_last"]) == (
        "stopped",
        12,
        0.1,
        1.2,
    )
    assert (a["accuracy_first"], a["accuracy_last"]) == (0.3, 0.95)
    assert a["started"].tz is not None
    assert a["problem"] == ""
    assert (b["status"], b["steps"], b["parent_id"]) == ("interrupted", 4, a["id"])
    assert (c["status"], c["steps"], c["task"]) == ("failed", 0, "gsm8k")
    assert math.isnan(c["reward_first"])
    assert math.isnan(c["accuracy_last"])
    broken = frame.iloc[3]
    assert broken["status"] == "unreadable"
    assert "is not a run record" in broken["problem"]


def test_list_runs_of_an_empty_or_missing_folder(tmp_path):
    assert list_runs(tmp_path).empty
    assert tuple(list_runs(tmp_path).columns) == COLUMNS
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        list_runs(tmp_path / "nothing")


def test_diff_configs(tmp_path):
    a = stored_run(tmp_path / "a", 1, name="a")
    b = stored_run(
        tmp_path / "b", 0, name="b", config=CONFIG | {"epsilon": 0.3, "extra": None}, task="gsm8k"
    )
    diff = diff_configs([a, tmp_path / "b"])
    assert diff.columns.tolist() == ["a", "b"]
    assert diff.to_dict("index") == {
        "task": {"a": "arithmetic", "b": "gsm8k"},
        "beta": {"a": "0.005, then 0.01 from step 1", "b": 0.005},
        "epsilon": {"a": 0.2, "b": 0.3},
        "extra": {"a": "—", "b": None},
    }
    assert diff_configs([b, b]).empty


def test_align_metrics(tmp_path):
    stored_run(tmp_path / "a", 2)
    with new_run(tmp_path / "b", 3) as writer:
        writer.write_step(StepRecord(step=4, metrics={"only_here": 1.0}))
    runs = [Run.open(tmp_path / "a"), Run.open(tmp_path / "b")]
    labels = [f"example ({run.meta.id})" for run in runs]
    frames = align_metrics(runs)
    assert sorted(frames) == ["grad_norm", "kl", "only_here", "reward", "seconds/rollout"]
    expected = pd.DataFrame(
        {labels[0]: [0.1, 0.2, None, None], labels[1]: [0.1, 0.2, 0.3, None]}, index=[1, 2, 3, 4]
    )
    pd.testing.assert_frame_equal(frames["reward"], expected.rename_axis("step"))
    assert frames["only_here"].columns.tolist() == labels[1:]
    assert list(align_metrics(runs, ["reward"])) == ["reward"]


def test_export(tmp_path):
    run = stored_run(tmp_path / "run", 10)
    files = export_csv(run, tmp_path / "out")
    assert all(file.exists() for file in files)
    steps = pd.read_csv(tmp_path / "out" / "steps.csv")
    pd.testing.assert_frame_equal(steps, run.steps())
    samples = [
        json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()
    ]
    assert len(samples) == 60
    fourth = [s for s in samples if s["step"] == 4]
    assert [s["completion"] for s in fourth] == example_samples(4).completions
    assert fourth[1]["rewards/format_reward"] is None
    assert fourth[0]["truncated"] is True
    assert fourth[3]["gold_answer"] is None
    knobs = pd.read_csv(tmp_path / "out" / "knobs.csv")
    assert knobs["new"].tolist() == run.knobs()["new"].tolist()
    events = [
        json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    ]
    assert [e["data"]["bytes"] for e in events] == list(range(1, 11))
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["config"] == CONFIG


def test_export_of_an_empty_run(tmp_path):
    run = stored_run(tmp_path / "run", 0)
    assert len(export_csv(run, tmp_path / "out")) == 8
    assert (tmp_path / "out" / "samples.jsonl").read_text() == ""


@pytest.mark.slow
def test_ten_thousand_steps_are_read_at_once(tmp_path):
    from time import process_time

    metrics = {f"metric/{i}": 1.0 / (i + 3) for i in range(40)}
    with new_run(tmp_path) as writer:
        # one transaction for all of them, or the test would measure the disk's flushes
        with writer._transaction("many steps") as db:
            from workbench.runs.store.rows import put_step

            for step in range(1, 10_001):
                put_step(db, StepRecord(step=step, metrics=metrics | {"reward": step}), {})
        writer.write_step(example_step(10_001))
    start = process_time()
    steps = Run.open(tmp_path).steps()
    seconds = process_time() - start
    assert steps["reward"].tolist()[:10_000] == list(range(1, 10_001))
    assert seconds < 3, (
        f"{seconds:.2f} s to read 10,000 steps: about 0.2 s was measured on an idle core"
    )


def test_one_evaluation_is_the_one_before_training(tmp_path):
    writer = new_run(tmp_path / "begun")
    writer.write_evaluation(0, Evaluation("held_out", 10, 3, 0.1, 0.6))
    writer.write_step(example_step(1))
    writer.close()
    row = list_runs(tmp_path).iloc[0]
    assert row["accuracy_first"] == 0.3
    assert math.isnan(row["accuracy_last"])
