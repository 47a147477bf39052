"""Records that were damaged or crafted: every reading ends in the workbench's own error, in a row
that is marked, or in the values that were written. Never in a raw exception or in other values."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs.crafted import (
    CRAFTED,
    crafted_record,
    flipped_bits,
    small_record,
    small_step,
    unsealed,
    with_flipped_bit,
)

from workbench.doctor import report
from workbench.errors import WorkbenchError
from workbench.runs import (
    DamagedError,
    Evaluation,
    Event,
    KnobChange,
    Run,
    RunRecordError,
    RunWarning,
    RunWriter,
    StepRecord,
    align_metrics,
    diff_configs,
    export_csv,
    list_runs,
)
from workbench.runs.store.arrays import CODEC, unpack
from workbench.runs.thin import thin

STEPS = (1, 2, 3)
QUESTIONS: dict[str, Callable[[Run], Any]] = {
    "meta": lambda run: run.meta,
    "repr": repr,
    "last_step": lambda run: run.last_step(),
    "position": lambda run: run.position(),
    "steps": lambda run: run.steps(),
    "knobs": lambda run: run.knobs(),
    "evaluations": lambda run: run.evaluations(),
    "events": lambda run: run.events(),
    "problem": lambda run: run.problem("train/1"),
    "vocab": lambda run: run.vocab(),
    **{
        f"{name} {step}": lambda run, name=name, step=step: getattr(run, name)(step)
        for name in ("samples", "groups", "tokens", "batch", "config_at")
        for step in STEPS
    },
}


def answers(file: Path) -> dict[str, Any]:
    """What a record answers to every question; the error where that is the workbench's own."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        for name, ask in QUESTIONS.items():
            try:
                found[name] = ask(Run.open(file))
            except WorkbenchError as error:
                found[name] = error
    return found


def differs(found: Any, written: Any) -> bool:
    """True where an answer holds something that was not written and is not marked."""
    if isinstance(found, WorkbenchError):
        return False
    if isinstance(found, pd.DataFrame):
        marked = found.attrs.get("damaged", {})
        if marked and "step" in found:
            found = found[~found["step"].isin(list(marked))]
            written = written[~written["step"].isin(list(marked))]
        if 0 in marked:
            # A row that names no step: which one is lost cannot be said.
            rows = {str(row) for row in written.to_dict("records")}
            return not {str(row) for row in found.to_dict("records")} <= rows
        # A figure that only marked steps have had is no column any more; a text that is not known
        # is None.
        columns = [name for name in written if name in found and name != "piece"]
        if "piece" in found:
            pairs = zip(found["piece"], written["piece"], strict=True)
            if any(a is not None and a != b for a, b in pairs):
                return True
        a = found[columns].reset_index(drop=True)
        b = written[columns].reset_index(drop=True)
        return not a.equals(b) or (not marked and len(columns) < len(set(written) - {"piece"}))
    if isinstance(found, dict) and any(isinstance(v, np.ndarray) for v in found.values()):
        return (
            any(
                not np.array_equal(found[k], written[k], equal_nan=_floats(found[k])) for k in found
            )
            or found.keys() != written.keys()
        )
    if isinstance(found, dict) and all(isinstance(key, int) for key in found):
        return not found.items() <= written.items()
    return bool(found != written)


def _floats(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    found = answers(small_record(tmp_path))
    assert not [name for name, answer in found.items() if isinstance(answer, WorkbenchError)]
    assert not [name for name, answer in found.items() if differs(answer, answer)]
    assert Run.open(tmp_path).damage() == []


@pytest.mark.slow
def test_a_flipped_bit_is_an_error_a_mark_or_nothing(tmp_path: Path) -> None:
    file = small_record(tmp_path / "origin")
    written = answers(file)
    copy = tmp_path / "run.sqlite"
    offenders = []
    seen = 0
    for place, bit in flipped_bits(file, 500):
        with_flipped_bit(file, copy, place, bit)
        found = answers(copy)
        offenders += [(place, bit, name) for name in found if differs(found[name], written[name])]
        seen += any(isinstance(answer, WorkbenchError) for answer in found.values())
    assert not offenders
    assert seen > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_record_ends_in_our_error_or_in_a_mark(tmp_path: Path, name: str) -> None:
    origin = small_record(tmp_path / "whole")
    unsealed(origin)
    written = answers(origin)
    (tmp_path / "crafted").mkdir()
    file = tmp_path / "crafted" / "run.sqlite"
    crafted_record(origin, file, name)
    began = time.monotonic()
    found = answers(file)
    told = [key for key, answer in found.items() if isinstance(answer, WorkbenchError)]
    told += [key for key, a in found.items() if getattr(a, "attrs", {}).get("damaged")]
    assert told or name in HARMLESS
    if name not in BELIEVED:
        assert not [key for key in found if differs(found[key], written[key])]
    # The list has both, the whole one as it is.
    frame = list_runs(tmp_path)
    assert len(frame) == 2
    whole = frame[frame["path"] == str(origin)].iloc[0]
    assert (whole["status"], whole["steps"], whole["problem"]) == ("finished", 3, "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        for use in (
            lambda: diff_configs([origin, file]).to_string(),
            lambda: {k: frame.to_string() for k, frame in align_metrics([origin, file]).items()},
            lambda: export_csv(file, tmp_path / "csv"),
            lambda: report(file),
            lambda: Run.open(file).damage(),
            lambda: thin(file, tmp_path / "thin.sqlite", [2]),
            lambda: RunWriter.branch(file, tmp_path / "branch", 2).close(),
            lambda: RunWriter.resume(file, 2).finish(),
        ):
            try:
                use()
            except WorkbenchError as error:
                assert len(str(error)) < 600
    assert time.monotonic() - began < 10


HARMLESS = {"packages that are a number"}
"""Records that are read as they are."""

BELIEVED = HARMLESS | {"a reward name too many"}
"""Facts that a run might have: without a checksum nobody can know."""


def flip_in(file: Path, table: str, column: str, step: int) -> None:
    """Another value in a sealed record, as a bad disk would leave it."""
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"UPDATE {table} SET {column} = {column} + 1 WHERE step = ?", (step,))


def test_a_damaged_step_is_marked_and_the_others_are_read(tmp_path: Path) -> None:
    file = small_record(tmp_path)
    flip_in(file, "steps", "time", 2)
    flip_in(file, "samples", "reward", 3)
    flip_in(file, "evaluations", "correct", 1)
    run = Run.open(tmp_path)
    with pytest.warns(RunWarning, match="damaged at step 2, in the table steps"):
        steps = run.steps()
    assert steps["reward"].isna().tolist() == [False, True, False]
    assert list(steps.attrs["damaged"]) == [2]
    with pytest.raises(DamagedError, match="step 3, in the table samples: it is not what its chec"):
        run.samples(3)
    assert len(run.samples(2)) == 4
    with pytest.warns(RunWarning, match="evaluations"):
        evaluations = run.evaluations()
    assert evaluations["split"].tolist() == ["heldout", "(damaged)", "heldout", "heldout"]
    assert evaluations["accuracy"].isna().tolist() == [False, True, False, False]
    assert len(run.damage()) == 3
    row = list_runs(tmp_path).iloc[0]
    assert row["status"] == "finished"
    assert "damaged at step 1" in row["problem"]
    with pytest.warns(RunWarning):
        export_csv(run, tmp_path / "csv")
    lines = (tmp_path / "csv" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line).get("damaged") is not None for line in lines[-2:]] == [False, True]


def test_a_fact_of_the_run_that_changed_ends_in_one_sentence(tmp_path: Path) -> None:
    file = small_record(tmp_path)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE meta SET value = '0.006' WHERE key = 'seed'")
    with pytest.raises(RunRecordError, match="facts of the run: they are not those of their check"):
        _ = Run.open(tmp_path).meta
    row = list_runs(tmp_path).iloc[0]
    assert row["status"] == "unreadable"
    with pytest.raises(RunRecordError, match="facts of the run"):
        RunWriter.resume(tmp_path, 2)


def test_a_row_that_went_or_strayed_is_noticed(tmp_path: Path) -> None:
    for change in (
        "DELETE FROM steps WHERE step = 3",
        "UPDATE steps SET step = 9 WHERE step = 3",
        "DELETE FROM steps WHERE step = 1",
    ):
        file = small_record(tmp_path / "r")
        with closing(sqlite3.connect(file)) as db, db:
            db.execute(change)
        run = Run.open(file)
        assert run.last_step() == 3
        with pytest.warns(RunWarning, match="missing"):
            assert run.steps()["reward"].isna().sum() >= 1
        assert run.damage()
        shutil.rmtree(tmp_path / "r")


def test_a_record_of_before_there_were_checksums_is_read_and_continued(tmp_path: Path) -> None:
    file = small_record(tmp_path / "old")
    written = answers(file)
    unsealed(file)
    found = answers(file)
    assert not [name for name in found if differs(found[name], written[name])]
    assert Run.open(file).damage() == []
    for made in (
        RunWriter.resume(tmp_path / "old", 2),
        RunWriter.branch(tmp_path / "old", tmp_path / "new", 2),
    ):
        with made as writer:
            writer.write_step(small_step(3))
            writer.write_event(Event("notice", "after"), step=1)
            writer.finish()
        run = Run.open(writer.path)
        assert run.damage() == []
        flip_in(writer.path, "steps", "time", 3)
        assert len(run.damage()) == 1
    unsealed(file)
    copy = thin(file, tmp_path / "thin.sqlite", [2])
    assert Run.open(copy).damage() == []


def test_a_thinned_and_a_branched_copy_keep_their_checksums(tmp_path: Path) -> None:
    file = small_record(tmp_path / "r")
    thinned = thin(file, tmp_path / "thin.sqlite", [2])
    RunWriter.branch(file, tmp_path / "branch", 2).finish()
    for copy, table in ((thinned, "steps"), (tmp_path / "branch" / "run.sqlite", "samples")):
        assert Run.open(copy).damage() == []
        flip_in(copy, table, "time" if table == "steps" else "reward", 2)
        assert len(Run.open(copy).damage()) == 1
    flip_in(file, "groups", "dead", 2)
    with pytest.raises(DamagedError, match="damaged at step 2, in the table groups"):
        thin(file, tmp_path / "again.sqlite", [2])


def test_a_run_keeps_as_many_figures_as_can_be_read(tmp_path: Path) -> None:
    """A reward that logs under a new name for each problem must not make the run unreadable."""

    def step(number: int) -> StepRecord:
        seen = {f"seen/{number}_{i}": 1.0 for i in range(300)}
        return StepRecord(step=number, metrics={"reward": float(number)} | seen)

    with RunWriter.create(tmp_path, config={}, reward_names=[]) as run:
        for number in (1, 2, 3):
            run.write_step(step(number))
        with pytest.warns(RunWarning, match="From step 4 on new ones are left out, such as"):
            run.write_step(step(4))
    # The limit is the run's, not the writer's.
    with RunWriter.resume(tmp_path, 4) as run, pytest.warns(RunWarning, match="From step 5 on"):
        run.write_step(step(5))
    steps = Run.open(tmp_path).steps()
    assert steps["reward"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(steps.columns) == 1002
    assert Run.open(tmp_path).damage() == []


def test_a_record_of_an_earlier_version_with_more_figures_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.store.writer.MAX_METRICS", 10_000)
    with RunWriter.create(tmp_path, config={}, reward_names=[]) as run:
        for number in (1, 2):
            figures = {f"m{number}_{i}": 0.0 for i in range(600)}
            run.write_step(StepRecord(step=number, metrics=figures))
    with pytest.warns(RunWarning, match="name 1200 different figures: the first 1000 are read"):
        steps = Run.open(tmp_path).steps()
    assert len(steps) == 2
    assert Run.open(tmp_path).steps(columns=["m2_599"])["m2_599"].tolist()[1] == 0.0


LONG = 10**25
SURROGATE = chr(0xD800)


def deep_value() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(40):
        value = {"a": value}
    return value


UNREADABLE: dict[str, Callable[[RunWriter], None]] = {
    "a long number in the environment": lambda run: run.add_to_environment(x=LONG),
    "a long number in an event": lambda run: run.write_event(Event("notice", "x", {"n": LONG})),
    "a deep event": lambda run: run.write_event(Event("notice", "x", deep_value())),
    "a time of before 1970": lambda run: run.write_event(Event("notice", "x", {}, -5.0)),
    "a time that is no number": lambda run: run.write_event(Event("a", "x", {}, float("nan"))),
    "a surrogate in a kind": lambda run: run.write_event(Event(SURROGATE, "x")),
    "a surrogate in a split": lambda run: run.write_evaluation(0, Evaluation(SURROGATE, 1, 1)),
    "a deep evaluation": lambda run: run.write_evaluation(
        0, Evaluation("held_out", 1, 1, extra=deep_value())
    ),
    "a surrogate in a figure": lambda run: run.write_step(
        StepRecord(step=1, metrics={SURROGATE: 1.0})
    ),
    "a long number in a knob": lambda run: run.write_step(
        StepRecord(step=1, metrics={}, knobs=[KnobChange("x", 1, LONG)])
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_a_reader_would_call_damaged_is_not_written(tmp_path: Path, what: str) -> None:
    with RunWriter.create(tmp_path, config={}, reward_names=[]) as run:
        with pytest.raises(WorkbenchError, match="a record cannot hold that"):
            UNREADABLE[what](run)
        run.write_step(StepRecord(step=1, metrics={"reward": np.float64(1.0)}))
    assert Run.open(tmp_path).damage() == []
    assert Run.open(tmp_path).meta.status == "interrupted"


@pytest.mark.parametrize(
    "config", [{"seed": LONG}, {"x": deep_value()}, {"reward_weights": ["a"]}, {"seed": "0"}]
)
def test_a_config_that_a_reader_would_call_damaged_begins_no_run(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    with pytest.raises(WorkbenchError, match="a record cannot hold that"):
        RunWriter.create(tmp_path, config=config, reward_names=[])
    assert not (tmp_path / "run.sqlite").exists()


def test_more_figures_than_can_be_read_are_not_written() -> None:
    with pytest.raises(ValueError, match="1001 metrics"):
        StepRecord(step=1, metrics={f"m{i}": 0.0 for i in range(1001)})


def test_runs_whose_names_are_no_utf8_are_compared(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        RunWriter.create(folder, config={"seed": seed}, name=f"caf\udce9{seed}").finish()
    assert "caf\\udce90" in diff_configs(folders).to_string()
    assert align_metrics(folders) == {}


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="not one of 7 elements"):
            unpack("<i4", CODEC, bomb, 7)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
