"""Two records held against each other to the last bit: equal, or the first value that differs."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from runs.crafted import CONFIG, small_record, small_step

from workbench.runs import DamagedError, KnobChange, RunWriter, StepRecord
from workbench.runs.integrity.exact import ABSENT, compare_exactly


def record(folder: Path, change: Callable[[StepRecord], StepRecord] = lambda step: step, steps=3):
    """The small run, one of whose steps may be another."""
    with RunWriter.create(
        folder, config=CONFIG, name=folder.name, reward_names=["format_reward", "answer_reward"]
    ) as run:
        for number in range(1, steps + 1):
            run.write_step(change(small_step(number)))
    return folder


def at_two(**changes: object) -> Callable[[StepRecord], StepRecord]:
    return lambda step: replace(step, **changes) if step.step == 2 else step


def test_the_same_numbers_are_equal_whatever_clock_and_name_say(tmp_path: Path) -> None:
    later = lambda step: replace(  # noqa: E731
        step, time=step.time + 5, metrics=step.metrics | {"seconds/step": 9.0}, events=[]
    )
    found = compare_exactly(record(tmp_path / "a"), record(tmp_path / "b", later))
    assert (found.first, found.steps, found.settings) == (None, 3, [])
    # 4 completions with two rewards, reward, advantage, baseline, length, truncated, row and group;
    # 7 tokens with an id and two figures, 4 lengths; 5 metrics: three times.
    assert found.numbers > 3 * (4 * 9 + 7 * 3 + 4 + 5)
    assert found.texts > 3 * 4


def test_the_first_number_is_named_with_both_values(tmp_path: Path) -> None:
    a = record(tmp_path / "a")
    step = small_step(2)
    logp = step.tokens.floats["logp"].copy()
    logp[4] += 1e-6
    cases = {
        "reward": (
            {"metrics": step.metrics | {"reward": math.nextafter(0.25, 1)}},
            ("steps", "reward", (0.25, math.nextafter(0.25, 1))),
        ),
        "nan": (
            {"metrics": step.metrics | {"kl": math.nan}},
            ("steps", "kl", (0.002, None)),
        ),
        "one more": ({"metrics": step.metrics | {"mine": 1.0}}, ("steps", "mine", (ABSENT, 1.0))),
        "token": (
            {"tokens": replace(step.tokens, floats=step.tokens.floats | {"logp": logp})},
            ("arrays", "logp[4]", None),
        ),
        "text": (
            {"samples": replace(step.samples, completions=["it is 0", "x", "it is 2", "it is 3"])},
            ("samples", "row 1 completion", ("it is 1", "x")),
        ),
        "knob": (
            {"knobs": [KnobChange("beta", 0.005, 0.03, time=100.0)]},
            ("knobs", "beta new", (0.02, 0.03)),
        ),
    }
    for name, (change, (table, label, values)) in cases.items():
        found = compare_exactly(a, record(tmp_path / name, at_two(**change)))
        assert (found.first.step, found.first.table, found.first.name) == (2, table, label), name
        assert found.steps == 1
        if name == "nan":
            assert math.isnan(found.first.values[1])
        elif values is not None:
            assert found.first.values == values


def test_a_shorter_run_is_equal_up_to_its_end(tmp_path: Path) -> None:
    found = compare_exactly(record(tmp_path / "a"), record(tmp_path / "b", steps=2))
    assert found.steps == 2
    assert str(found.first) == "step 3, steps, the step: 'there' and '(not there)'"


def test_settings_that_differ_are_named_and_are_no_difference(tmp_path: Path) -> None:
    a = record(tmp_path / "a")
    with RunWriter.create(
        tmp_path / "b",
        config=CONFIG | {"beta": 1.0},
        reward_names=["format_reward", "answer_reward"],
    ) as run:
        for number in (1, 2, 3):
            run.write_step(small_step(number))
    found = compare_exactly(a, tmp_path / "b")
    assert (found.first, found.settings) == (None, ["beta"])


def test_a_damaged_step_is_no_difference_but_an_error(tmp_path: Path) -> None:
    a, b = small_record(tmp_path / "a"), small_record(tmp_path / "b")
    assert compare_exactly(a, b).first is None
    with closing(sqlite3.connect(b)) as db, db:
        db.execute("UPDATE samples SET reward = reward + 1 WHERE step = 3")
    with pytest.raises(DamagedError, match="damaged at step 3"):
        compare_exactly(a, b)
