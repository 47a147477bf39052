"""`Run.best_paid`: the ranking against one made by hand, what is counted, and damaged records."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import make_run
from runs.crafted import CRAFTED, crafted_record, small_record, unsealed

from workbench.errors import WorkbenchError
from workbench.runs import DamagedError, Run, RunRecordError, RunWarning
from workbench.runs.store import best_paid as best_paid_queries
from workbench.runs.store.best_paid import COUNTED, TIES
from workbench.runs.thin import thin


def run_of(folder: Path, paid: list[list[tuple[str, list[float]]]]) -> Run:
    """A run of one step for each list of (text, rewards of two functions), in groups of two."""
    return make_run(
        folder,
        steps=len(paid),
        prompts=len(paid[0]) // 2,
        group=2,
        texts=lambda step: [text for text, _ in paid[step - 1]],
        rewards=lambda step: [rewards for _, rewards in paid[step - 1]],
        keep_tokens=False,
    )


STEPS = [
    [("hack", [1, 0]), ("right", [1, 1]), ("wrong", [0, 0]), ("hack", [1, 0])],
    [("hack", [1, 1]), ("right", [1, 1]), ("right, too", [1, 1]), ("none", [np.nan, np.nan])],
    [("hack", [1, 1]), ("hack", [1, 1]), ("right", [0, 1]), ("late", [2, 1])],
]


def test_the_best_paid_come_once_each_where_they_were_first_paid_so(tmp_path: Path) -> None:
    found = run_of(tmp_path, STEPS).best_paid()
    assert list(found["completion"]) == ["late", "hack", "right", "right, too", "wrong"]
    assert list(found["reward"]) == [3, 2, 2, 2, 0]
    assert list(zip(found["step"], found["row"], strict=True)) == [
        (3, 3),
        (2, 0),
        (1, 1),
        (2, 2),
        (1, 2),
    ]
    assert list(found["times"]) == [1, 5, 3, 1, 1]
    assert list(found["mean_pay"]) == pytest.approx([3, (1 + 1 + 2 + 2 + 2) / 5, 5 / 3, 2, 0])
    samples = Run.open(tmp_path).samples(2)
    hack = found.iloc[1]
    for name in samples.columns:
        assert hack[name] == samples[name][0], name
    # Its five came to the problems 0 and 1 of step 1, 0 of step 2 and 0 of step 3.
    assert hack["problems"] == 4
    # Paid 2 it was at step 2 in group 0, and at step 3 in group 0, twice.
    golds = {Run.open(tmp_path).samples(step)["gold_answer"][0] for step in (2, 3)}
    assert hack["golds"] == len(golds)


def test_only_the_steps_up_to_the_one_asked_for(tmp_path: Path) -> None:
    run = run_of(tmp_path, STEPS)
    found = run.best_paid(1)
    assert list(found["completion"]) == ["right", "hack", "wrong"]
    assert list(found["times"]) == [1, 2, 1]
    assert len(run.best_paid(0)) == 0
    assert list(run.best_paid(count=2)["completion"]) == ["late", "hack"]


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ("most often", ["hack", "right", "right, too"]),
        ("shortest", ["hack", "right", "right, too"]),
        ("longest", ["right, too", "right", "hack"]),
        ("newest", ["hack", "right", "right, too"]),
    ],
)
def test_of_equally_paid_ones(ties: str, expected: list[str], tmp_path: Path) -> None:
    assert list(run_of(tmp_path, STEPS).best_paid(ties=ties)["completion"][1:4]) == expected


def test_the_newest_is_where_a_text_last_came(tmp_path: Path) -> None:
    steps = [[("a", [1, 0]), ("a", [1, 0])], [("b", [1, 0]), ("c", [0, 0])]]
    run = run_of(tmp_path, steps)
    assert list(run.best_paid(ties="newest")["completion"]) == ["b", "a", "c"]
    assert list(run.best_paid()["completion"]) == ["a", "b", "c"]


def test_ranked_by_one_function(tmp_path: Path) -> None:
    run = run_of(tmp_path, STEPS)
    names = run.meta.reward_names
    by_second = run.best_paid(by=names[1])
    assert list(by_second["completion"]) == ["hack", "right", "late", "right, too", "wrong"]
    assert by_second["mean_pay"][0] == pytest.approx(3 / 5)
    with pytest.raises(RunRecordError, match="'other' is not in the record, which has format_rew"):
        run.best_paid(by="other")
    with pytest.raises(RunRecordError, match="Choose one of most often, shortest"):
        run.best_paid(ties="x; DROP TABLE samples")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-2, 2)), min_size=8, max_size=8))
def test_as_a_ranking_in_python(answers: list[tuple[str, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        cut = [answers[:4], answers[4:]]
        run = run_of(Path(folder), [[(text, [pay, 0]) for text, pay in step] for step in cut])
        found = run.best_paid(count=5)
    pays: dict[str, list[int]] = defaultdict(list)
    for text, pay in answers:
        pays[text].append(pay)
    expected = sorted(pays, key=lambda text: (-max(pays[text]), -len(pays[text]), text))[:5]
    assert list(found["completion"]) == expected
    assert list(found["reward"]) == [max(pays[text]) for text in expected]
    assert list(found["times"]) == [len(pays[text]) for text in expected]


def test_text_that_is_no_unicode(tmp_path: Path) -> None:
    steps = [
        [("lone \ud800", [1, 1]), ("lone \ud800", [1, 1])],
        [("é\u202e", [1, 0]), ("", [0, 0])],
    ]
    found = run_of(tmp_path, steps).best_paid()
    assert list(found["completion"]) == ["lone \ud800", "é\u202e", ""]
    assert list(found["times"]) == [2, 1, 1]


def test_a_run_without_completions(tmp_path: Path) -> None:
    found = make_run(tmp_path, steps=2, samples=False, keep_tokens=False).best_paid()
    assert len(found) == 0
    assert {"completion", "reward", "rewards/answer_reward", *COUNTED} <= set(found.columns)


def test_a_thinned_record_ranks_what_it_kept(tmp_path: Path) -> None:
    run_of(tmp_path / "whole", STEPS)
    thin(tmp_path / "whole", tmp_path / "thin.sqlite", [1])
    found = Run.open(tmp_path / "thin.sqlite").best_paid()
    assert set(found["step"]) == {1}


# ------------------------------------------------------------ damaged


def change(run: Run, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(run.path)) as db, db:
        db.execute(statement, values)


def test_a_damaged_step_is_passed_over_and_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, STEPS)
    change(run, "UPDATE samples SET reward = 99 WHERE step = 3 AND row = 0")
    with pytest.warns(RunWarning, match="is damaged at step 3, in the table samples"):
        found = run.best_paid()
    assert list(found["completion"]) == ["hack", "right", "right, too", "wrong"]
    assert list(found["times"]) == [3, 2, 1, 1], "as the other steps have them"
    assert list(found.attrs["damaged"]) == [3]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("reward", "much"),
        ("reward", b"\xff"),
        ("rewards", "[1,"),
        ("rewards", "{}"),
        ("completion", sqlite3.Binary(b"\xff\xfe")),
        ("step", "three"),
    ],
)
def test_a_cell_that_is_none(column: str, cell: Any, tmp_path: Path) -> None:
    run = run_of(tmp_path, STEPS)
    written = {tuple(row) for row in run.best_paid()[["completion", "reward"]].to_numpy()}
    change(run, f"UPDATE samples SET {column} = ? WHERE step = 2", cell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        for by in (None, run.meta.reward_names[0]):
            found = run.best_paid(by=by)
            assert 2 not in set(found["step"])
            assert {tuple(row) for row in found[["completion", "reward"]].to_numpy()} <= written | {
                ("hack", 1.0)
            }


def test_a_record_that_is_damaged_all_over_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=100, prompts=1, group=2, keep_tokens=False)
    change(run, "UPDATE samples SET reward = step")
    with pytest.raises(DamagedError, match="more than 64 damaged steps"):
        run.best_paid()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record without checksums, so that what is crafted is read."""
    file = small_record(tmp_path_factory.mktemp("whole"))
    unsealed(file)
    return file


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_record_ends_in_our_error_or_in_what_was_written(
    tmp_path: Path, name: str, whole: Path
) -> None:
    shown = [c for c in Run.open(whole).best_paid().columns if c not in COUNTED]
    samples = pd.concat([Run.open(whole).samples(step) for step in (1, 2, 3)])
    written = {json.dumps(row, default=str) for row in samples[shown].to_dict("records")}
    file = tmp_path / "run.sqlite"
    crafted_record(whole, file, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        for ties in TIES:
            try:
                found = Run.open(file).best_paid(ties=ties)
            except WorkbenchError:
                continue
            if list(found.columns) == [*shown, *COUNTED]:
                rows = {json.dumps(row, default=str) for row in found[shown].to_dict("records")}
                assert rows <= written


def test_a_step_is_read_once_however_many_of_its_answers_are_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long completions took seconds for each answer of their step."""
    run = run_of(tmp_path, STEPS)
    read = []
    whole = best_paid_queries.samples
    monkeypatch.setattr(
        best_paid_queries, "samples", lambda db, step: read.append(step) or whole(db, step)
    )
    assert len(run.best_paid()) == 5
    assert sorted(step for step in read if step > 0) == [1, 2, 3]
