"""`workbench eval`: by subject and level, beside a control, into a record, and read back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from workbench.commands import evaluate_progress
from workbench.commands.evaluate_progress import Pace, progress
from workbench.runs import Run, RunWriter

Command = Callable[..., CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""

SETTINGS = ["prompts_per_step=2", "num_generations=4", "max_completion_length=8"]
QUICK = [word for pair in [*SETTINGS, "num_eval_problems=2"] for word in ("--set", pair)]
FIGURES = ["greedy", "mean@2", "maj@2", "pass@2"]


@pytest.fixture
def run(workbench: Command, tiny_folder: Path, tmp_path: Path) -> Path:
    """A run of one step."""
    asked = ["--policy", tiny_folder, "--steps", 1, *QUICK]
    workbench("train", "--out", "run", *asked, cwd=tmp_path)
    return tmp_path / "run"


def printed(done: CompletedProcess[str]) -> dict:
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.mark.slow
def test_a_run_is_evaluated_beside_what_it_began_as_and_recorded(
    run: Path, workbench: Command, tmp_path: Path
) -> None:
    asked = ["eval", "run", "--problems", 5, "--samples", 2, "--control", "start", "--record"]
    before = Run.open(run).meta
    found = printed(workbench(*asked, "--json", cwd=tmp_path))
    assert found["policy"] == "run/policy"
    assert found["recorded_at_steps"] == [0, 1]
    for figures in (found, found["lenient"], found["control"], found["control"]["lenient"]):
        for name in FIGURES:
            assert figures[name].keys() == {"value", "interval", "n"}
            assert figures[name]["n"] == 5
    difference = found["control"]["difference"]["strict"]["greedy"]
    assert difference["value"] == found["greedy"]["value"] - found["control"]["greedy"]["value"]

    frame = Run.open(run).sampled_evaluations()
    everything = frame[(frame["grouping"] == "all") & (frame["judge"] == "strict")]
    recorded = everything.set_index(["step", "figure"])["value"]
    for name in FIGURES:
        assert recorded[1, name] == found[name]["value"]
        assert recorded[0, name] == found["control"][name]["value"]
    assert set(frame["split"]) == {"held_out"}
    # The run stays as it ended, and a second time takes the place of the first.
    workbench(*asked, "--json", cwd=tmp_path)
    again = Run.open(run)
    assert (again.meta.status, again.meta.finished) == (before.status, before.finished)
    assert len(again.sampled_evaluations()) == len(frame)
    assert again.damage() == []
    # Another task's problems are not those that the run holds out.
    workbench("eval", "run", "--task", "arithmetic_longer", "--n", 2, "--record", cwd=tmp_path)
    assert set(Run.open(run).sampled_evaluations()["split"]) == {"held_out", "arithmetic_longer"}

    said = workbench(*asked, cwd=tmp_path).stdout
    assert "Recorded at step 0" in said
    assert "prompt-only: the untrained policy with the prompt alone" in " ".join(said.split())
    assert "mean@2 has changed by" in " ".join(said.split())


def test_what_cannot_be_recorded_or_compared_says_so(
    run: Path, workbench: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for words, said in (
        (["--policy", tiny_folder, "--record"], "lies in no run's folder, so there is no record"),
        (["--policy", tiny_folder, "--control", "start"], "it is not known what it began as"),
        (["run", "--policy", tiny_folder], "say whom to evaluate"),
        (["empty"], "is no run's folder"),
        (["--read", "nothing.jsonl"], "cannot be read"),
        (["--policy", tiny_folder, "--recorded"], "--recorded and --step are of a run"),
        (["run", "--recorded"], "has no evaluation with samples"),
        (["run", "--step", 9], "has no checkpoint of that step, but those of [0, 1]"),
        (["run", "--step", 1, "--dtype", "bfloat16"], "Leave both away"),
    ):
        done = workbench("eval", *words, "--n", 2, cwd=tmp_path, code=2)
        assert said in " ".join(done.stderr.split())
    with RunWriter.create(tmp_path / "unfinished", config={}):
        pass
    done = workbench("eval", "unfinished", cwd=tmp_path, code=2)
    assert "no checkpoint: nothing of it can be asked" in " ".join(done.stderr.split())


def test_a_checkpoint_and_what_is_recorded_are_shown_as_such(
    run: Path, workbench: Command, tmp_path: Path
) -> None:
    asked = ["--problems", 4, "--samples", 2, "--json"]
    final = printed(workbench("eval", "run", *asked, "--control", "start", cwd=tmp_path))
    assert final["of_run"] == {"run": "run", "what": "policy", "step": 1}

    def figures(found: dict) -> dict:
        return {name: found[name] for name in (*FIGURES, "lenient")}

    for step, same in ((1, final), (0, final["control"])):
        done = workbench("eval", "run", "--step", step, *asked, cwd=tmp_path)
        assert f"Evaluated is the checkpoint of run, step {step}." in done.stderr
        found = printed(done)
        assert found["of_run"] == {"run": "run", "what": "checkpoint", "step": step}
        assert found["max_completion_length"] == 8
        assert figures(found) == figures(same)
    # A run that was broken off has its newest checkpoint; what is recorded says of which step.
    shutil.rmtree(run / "policy")
    found = printed(workbench("eval", "run", "--record", *asked, cwd=tmp_path))
    assert found["of_run"]["what"] == "checkpoint"
    assert found["recorded_at_steps"] == [1]
    done = workbench("eval", "run", "--recorded", "--json", cwd=tmp_path)
    assert "nothing was asked anew" in done.stderr
    recorded = printed(done)
    assert recorded["of_run"] == {"run": "run", "what": "recorded evaluation", "step": 1}
    assert figures(recorded) == figures(found)


@pytest.mark.slow
def test_a_record_of_before_takes_an_evaluation(
    run: Path, workbench: Command, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        db.execute("DROP TABLE sampled_evaluations")
        db.execute("DROP TABLE sampled_answers")
    workbench("eval", "run", "--n", 2, "--record", cwd=tmp_path)
    assert set(Run.open(run).sampled_evaluations()["step"]) == {1}
    assert Run.open(run).damage() == []


def task_file(folder: Path) -> None:
    """Problems of two subjects; the first held-out one has ten words of a training one."""
    long = "Tom has one two three four five six seven eight apples"
    rows = [
        {"question": f"{long} and {n} pears?", "answer": str(n), "subject": "Fruit", "level": "2"}
        for n in range(4)
    ]
    held = [
        {"question": f"{long}?", "answer": "8", "subject": "Fruit", "level": "10"},
        {"question": "1 + 1?", "answer": "2", "subject": "Sum", "level": "2"},
        {"question": "2 + 2?", "answer": "4", "subject": "Sum", "level": "2"},
    ]
    for name, part in (("train", rows), ("test", held)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))


def test_by_subject_and_level_with_what_was_trained_on(
    workbench: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    task_file(tmp_path)
    asked = ["eval", "--policy", tiny_folder, "--task", "train.jsonl", "--samples", 2]
    length = ["--max-completion-length", 6, "--out", "kept.jsonl"]
    found = printed(workbench(*asked, *length, "--json", cwd=tmp_path))
    assert {label: one["greedy"]["n"] for label, one in found["subjects"].items()} == {
        "Fruit": 1,
        "Sum": 2,
    }
    assert list(found["levels"]) == ["2", "10"]
    assert found["levels"]["2"]["lenient"]["pass@2"]["n"] == 2
    assert found["contamination"] == {
        "problems": 3,
        "training_problems": 4,
        "words_in_a_row": 10,
        "overlapping": 1,
        "exact": 0,
    }
    said = workbench(*asked, *length, cwd=tmp_path).stdout
    assert "by subject" in said
    assert "by level" in said
    assert "contamination: 1 of 3 problems share 10 words in a row" in " ".join(said.split())
    # Without a policy, from the file alone.
    read = printed(workbench("eval", "--read", "kept.jsonl", "--json", cwd=tmp_path))
    for name in ("policy", "samples", "subjects", *FIGURES):
        assert read[name] == found[name], name


def test_the_rate_counts_what_is_answered_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = Pace(200)
    # What a file held already took no time.
    assert pace.rate_words(50) == ""
    assert pace.left_words(50) == "time left not known yet"
    now[0] = 110.0
    assert pace.rate_words(70) == "2.0 a second"
    assert pace.left_words(70) == "1 min 05 s left"
    now[0] = 200.0
    assert pace.rate_words(100) == "30.0 a minute"


def test_where_nobody_looks_a_line_a_minute_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(evaluate_progress.time, "monotonic", lambda: now[0])
    with progress(100, quiet=False) as show:
        for seconds, done in ((0, 0), (30, 10), (61, 20), (70, 30), (130, 40)):
            now[0] = seconds
            show(done)
    assert capsys.readouterr().err.splitlines() == [
        "20 of 100 problems, 19.7 a minute, 4 min 04 s left",
        "40 of 100 problems, 18.5 a minute, 3 min 15 s left",
    ]


@pytest.mark.slow
def test_a_training_says_what_it_has_sharpened(
    workbench: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    sampled = ["--eval-samples", 2, "--set", "eval_samples_problems=4"]
    asked = ["train", "--policy", tiny_folder, "--steps", 1, *QUICK, *sampled]
    done = workbench(*asked, "--out", "a", "--json", cwd=tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])["sampled"]
    assert found["steps"] == [0, 1]
    frame = Run.open(tmp_path / "a").sampled_evaluations()
    for judge in ("strict", "lenient"):
        figures = frame[(frame["judge"] == judge) & (frame["grouping"] == "all")]
        for name in FIGURES:
            of_name = figures[figures["figure"] == name]["value"].tolist()
            assert found[judge][name] == of_name, name
        assert found[judge]["gain"].startswith("mean@2 has changed by")
    said = workbench(*asked, "--out", "b", cwd=tmp_path).stdout
    assert "strict: mean@2 has changed by" in " ".join(said.split())
