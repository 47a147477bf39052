"""Evaluations with samples in the record: what is written comes back, also from old records, and
what is damaged says so."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from runs.run_examples import HOSTILE, example_step, new_run

from workbench.runs import (
    Answered,
    Figure,
    Run,
    RunWarning,
    RunWriter,
    SampledEvaluation,
    StepRecord,
    export_csv,
)
from workbench.runs.store.cells import CellError
from workbench.runs.store.schema import LATER_STEP_TABLES
from workbench.runs.thin import thin

FIGURES = (
    Figure("strict", "all", "", "greedy", 0.5, 0.1, 0.9, 2),
    Figure("strict", "all", "", "pass@2", math.nan, 0.0, 1.0, 0),
    Figure("lenient", "subject", HOSTILE[3], "maj@2", 1.0, 0.3, 1.0, 2),
)
ANSWERS = tuple(
    Answered(i, text, text, "add", text, [text, *HOSTILE], subject=text)
    for i, text in enumerate(HOSTILE)
)


def evaluation(step: int, split: str = "held_out") -> SampledEvaluation:
    figures = [replace(FIGURES[0], value=step / 100), *FIGURES[1:]]
    return SampledEvaluation(split, figures, ANSWERS, {"samples": 2}, time=1000.0 + step)


def recorded(folder: Path, steps: int = 3) -> Path:
    """A run with a sampled evaluation at steps 0 and 2."""
    with new_run(folder, 0) as writer:
        writer.write_sampled_evaluation(0, evaluation(0))
        for step in range(1, steps + 1):
            record = example_step(step)
            if step == 2:
                record = replace(record, sampled_evaluations=[evaluation(2)])
            writer.write_step(record)
        writer.finish()
    return folder


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    run = Run.open(recorded(tmp_path / "r"))
    frame = run.sampled_evaluations()
    assert frame["step"].tolist() == [0] * 3 + [2] * 3
    columns = ["judge", "grouping", "label", "figure", "value", "low", "high", "n"]
    found = frame[frame["step"] == 2][columns].to_dict("records")
    # repr, so that NaN equals NaN.
    assert repr(found) == repr([asdict(one) for one in evaluation(2).figures])
    assert frame["asked"].tolist() == [{"samples": 2}] * 6
    answers = run.sampled_answers()
    assert len(answers) == 2 * len(HOSTILE)
    assert answers["samples"].tolist()[0] == ANSWERS[0].samples
    texts = answers[answers["step"] == 2]
    for column in ("question", "answer", "greedy", "subject"):
        assert texts[column].tolist() == HOSTILE, column
    assert texts["level"].tolist() == [None] * len(HOSTILE)
    assert run.damage() == []


def test_the_newest_of_a_step_and_split_counts(tmp_path: Path) -> None:
    with new_run(tmp_path / "r", 0) as writer:
        writer.write_sampled_evaluation(0, evaluation(0))
        writer.write_sampled_evaluation(0, evaluation(0, "other"))
        second = SampledEvaluation("held_out", FIGURES[:1], ANSWERS[:1])
        writer.write_sampled_evaluation(0, second)
    frame = Run.open(tmp_path / "r").sampled_evaluations()
    assert sorted(frame["split"]) == ["held_out", "other", "other", "other"]
    assert len(Run.open(tmp_path / "r").sampled_answers()) == 1 + len(HOSTILE)
    assert Run.open(tmp_path / "r").damage() == []


def test_answers_need_not_be_kept(tmp_path: Path) -> None:
    with new_run(tmp_path / "r", 0) as writer:
        writer.write_sampled_evaluation(0, evaluation(0))
        writer.write_sampled_evaluation(0, SampledEvaluation("held_out", FIGURES, []))
    run = Run.open(tmp_path / "r")
    assert len(run.sampled_answers()) == 0
    assert run.damage() == []


def test_a_record_that_is_cut_branched_or_thinned_keeps_its_own(tmp_path: Path) -> None:
    recorded(tmp_path / "r")
    RunWriter.branch(tmp_path / "r", tmp_path / "one", 1).close()
    RunWriter.branch(tmp_path / "r", tmp_path / "two", 2).close()
    thin(tmp_path / "r", tmp_path / "thin", [3])
    RunWriter.resume(tmp_path / "r", 1).close()
    steps = {
        name: set(Run.open(tmp_path / name).sampled_evaluations()["step"])
        for name in ("one", "two", "thin", "r")
    }
    assert steps == {"one": {0}, "two": {0, 2}, "thin": {0, 2}, "r": {0}}
    for name in steps:
        assert Run.open(tmp_path / name).damage() == [], name
        assert set(Run.open(tmp_path / name).sampled_answers()["step"]) == steps[name]


def as_old(file: Path) -> None:
    """The record as a version before these tables wrote it."""
    with closing(sqlite3.connect(file)) as db, db:
        for table in LATER_STEP_TABLES:
            db.execute(f"DROP TABLE {table}")


def test_a_record_of_before_is_read_copied_and_gone_on_with(tmp_path: Path) -> None:
    new_run(tmp_path / "r", 2).close()
    as_old(tmp_path / "r" / "run.sqlite")
    run = Run.open(tmp_path / "r")
    assert run.sampled_evaluations().empty
    assert run.sampled_answers().empty
    assert run.damage() == []
    thin(tmp_path / "r", tmp_path / "thin", [1])
    with RunWriter.branch(tmp_path / "r", tmp_path / "branch", 1) as writer:
        writer.write_sampled_evaluation(1, evaluation(1))
    with RunWriter.resume(tmp_path / "r", 2) as writer:
        writer.write_step(replace(example_step(3), sampled_evaluations=[evaluation(3)]))
    for name, step in (("branch", 1), ("r", 3)):
        assert set(Run.open(tmp_path / name).sampled_evaluations()["step"]) == {step}
        assert Run.open(tmp_path / name).damage() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE sampled_evaluations SET value = 0.99 WHERE step = 2", "what its checksum says"),
        ("DELETE FROM sampled_evaluations WHERE step = 2", "it is missing"),
        ("DROP TABLE sampled_evaluations", "it is missing"),
    ],
)
def test_what_was_changed_is_named(tmp_path: Path, statement: str, said: str) -> None:
    recorded(tmp_path / "r")
    with closing(sqlite3.connect(tmp_path / "r" / "run.sqlite")) as db, db:
        db.execute(statement)
    run = Run.open(tmp_path / "r")
    with pytest.warns(RunWarning, match="table sampled_evaluations"):
        frame = run.sampled_evaluations()
    assert said in frame.attrs["damaged"][2]
    row = frame[frame["step"] == 2].iloc[0]
    assert row["judge"] == "(damaged)"
    assert math.isnan(row["value"])
    assert any("sampled_evaluations" in line for line in run.damage())


def test_what_a_reader_would_refuse_is_not_written(tmp_path: Path) -> None:
    with new_run(tmp_path / "r", 0) as writer:
        wrong = replace(FIGURES[0], figure="\ud800")
        with pytest.raises(CellError, match=r"sampled_evaluations\.figure"):
            writer.write_sampled_evaluation(0, SampledEvaluation("held_out", [wrong]))
        numbers = replace(ANSWERS[0], samples=[3])
        with pytest.raises(CellError, match="holds 3 in place of a text"):
            writer.write_sampled_evaluation(0, SampledEvaluation("held_out", FIGURES, [numbers]))
        # Nothing of the refused ones stands there.
        writer.write_step(StepRecord(step=1, metrics={}))
    assert Run.open(tmp_path / "r").sampled_evaluations().empty


def test_they_are_exported(tmp_path: Path) -> None:
    files = export_csv(recorded(tmp_path / "r"), tmp_path / "out")
    assert tmp_path / "out" / "sampled_evaluations.csv" in files
    frame = pd.read_csv(tmp_path / "out" / "sampled_evaluations.csv")
    assert frame["value"].tolist()[3] == 0.02
    lines = (tmp_path / "out" / "sampled_answers.jsonl").read_text().splitlines()
    assert len(lines) == 2 * len(HOSTILE)
