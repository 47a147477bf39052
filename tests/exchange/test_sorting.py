"""Which columns are rewards, which rows an evaluation's, and which rollouts were logged before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import Command
from cli.conftest import workbench as workbench
from exchange.test_importing import jsonl_row, written

from workbench.doctor import report
from workbench.exchange import ImportFileError, import_completions
from workbench.runs import Run
from workbench.widgets.export_html import export_html

LONG = "so we add the ones first and then carry, which gives in the end "
"""What answers begin with that are too long to be sampled twice."""


def trl_rows(step: int, answers: str = "abab", **changes: Any) -> list[dict[str, Any]]:
    """Two groups, an answer for each letter."""
    size = len(answers) // 2
    return [
        {
            "step": step,
            "prompt": f"{i // size}?",
            "completion": f"{LONG}{letter}",
            "right": float(letter == "a"),
            "form": float("nan") if letter == "b" else 0.5,
            "advantage": 0.7 if letter == "a" else -0.7,
        }
        | changes
        for i, letter in enumerate(answers)
    ]


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """As TRL writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
    return path


def imported(tmp_path: Path, *files: Path, source: str = "trl", **how: Any) -> tuple[Run, str]:
    """The run, and all that was said of it."""
    made = import_completions(files, source, tmp_path / "run", **how)
    return Run.open(made.path), " ".join(made.notes)


# ---------------------------------------------------------------- rewards


def test_a_guess_is_said_and_a_choice_is_kept(tmp_path: Path) -> None:
    rows = trl_rows(1, note=0.25)
    file = parquet(tmp_path / "completions_00001.parquet", rows)
    run, said = imported(tmp_path / "guess", file)
    assert run.meta.reward_names == ["right", "form", "note"]
    assert "Taken as rewards: right, form, note. That is a guess" in said
    run, said = imported(tmp_path / "chosen", file, rewards=["form", "right"])
    assert run.meta.reward_names == ["form", "right"]
    assert "guess" not in said
    assert "Columns not read: note" in said
    np.testing.assert_array_equal(run.samples(1)["reward"], [1.5, 0, 1.5, 0])


def test_the_total_may_be_a_column_of_its_own(tmp_path: Path) -> None:
    rows = [jsonl_row(rewards={"a": i, "b": 1.0}, reward=10.0 * i) for i in range(4)]
    file = written(tmp_path / "c.jsonl", rows)
    run, said = imported(tmp_path, file, source="jsonl", total="reward")
    assert run.meta.reward_names == ["a", "b"]
    assert run.samples(1)["reward"].tolist() == [0, 10, 20, 30]
    assert run.samples(1)["baseline"].tolist() == [15] * 4
    assert "Taken as the total reward: reward." in said
    assert "plain sum" not in said


def test_a_column_of_another_name_is_a_reward_when_it_is_named(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": "c", "length": 0.5 * i, "answer": "2"} for i in range(2)]
    file = written(tmp_path / "c.jsonl", rows)
    run, _ = imported(tmp_path, file, source="jsonl", rewards=["length"])
    assert run.samples(1)["rewards/length"].tolist() == [0, 0.5]
    assert run.samples(1)["length"].tolist() == [0, 0]
    assert run.samples(1)["gold_answer"].tolist() == ["2", "2"]


def test_a_column_that_is_text_elsewhere_is_no_reward_where_it_is_empty(tmp_path: Path) -> None:
    rows = trl_rows(1)
    for i, row in enumerate(rows):
        row["remark"] = "good" if i else None
    run, _ = imported(tmp_path, parquet(tmp_path / "completions_00001.parquet", rows))
    assert run.meta.reward_names == ["right", "form"]


def test_a_reward_may_have_a_name_that_is_usual_for_something_else(tmp_path: Path) -> None:
    rows = trl_rows(1, length=1.0)
    run, _ = imported(tmp_path, parquet(tmp_path / "completions_00001.parquet", rows))
    assert run.meta.reward_names == ["right", "form", "length"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"rewards": ["nothing"]}, "line 1: has no reward 'nothing'; its columns are 'prompt'"),
        ({"total": "nothing"}, "line 1: has no reward 'nothing'"),
        ({"rewards": ["prompt"]}, "line 1: has no prompt"),
        ({"rewards": ["note"]}, "line 1: the reward 'note' is 'x', expected a finite number"),
        ({"rewards": ["reward", "reward"]}, "--reward 'reward' is named twice"),
        ({"evaluation": ["eval_*"]}, "--evaluation 'eval_*' matches none of the files"),
        ({"evaluation": ["c.jsonl"]}, "there is no step of a training"),
    ],
)
def test_a_wrong_choice_is_refused(how: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = written(tmp_path / "c.jsonl", [jsonl_row(note="x")])
    with pytest.raises(ImportFileError) as error:
        import_completions([file], "jsonl", tmp_path / "run", **how)
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- logged again


def test_what_two_processes_logged_of_a_step_is_kept_once(tmp_path: Path) -> None:
    files = [
        parquet(tmp_path / f"rank{r}" / "completions_00001.parquet", trl_rows(1)) for r in "01"
    ]
    run, said = imported(tmp_path, *files)
    assert len(run.samples(1)) == 4
    assert "Logged twice and kept once: 4 completions" in said


def test_two_equal_answers_of_a_group_are_two_samples(tmp_path: Path) -> None:
    file = parquet(tmp_path / "completions_00001.parquet", trl_rows(1, "aaaabaaa"))
    run, said = imported(tmp_path, file, file)
    assert len(run.samples(1)) == 8
    assert "Logged" not in said
    # Nor is a file with one answer that differs the same rollout.
    other = parquet(tmp_path / "b" / "completions_00001.parquet", trl_rows(1, "aaaabaab"))
    run, said = imported(tmp_path / "two", file, other)
    assert len(run.samples(1)) == 16
    assert "Logged" not in said


@pytest.mark.parametrize("changed", ["right", "form", "advantage", "completion"])
def test_a_row_with_another_figure_is_another_rollout(changed: str, tmp_path: Path) -> None:
    rows = trl_rows(2, "abab")
    rows[1][changed] = "other" if changed == "completion" else 0.125
    files = [
        parquet(tmp_path / "completions_00001.parquet", trl_rows(1)),
        parquet(tmp_path / "completions_00002.parquet", rows),
    ]
    run, said = imported(tmp_path, *files)
    assert run.kept_steps("samples") == [1, 2]
    assert "Logged" not in said


def test_further_passes_over_a_rollout_are_no_new_ones(tmp_path: Path) -> None:
    answers = {1: "abab", 2: "abab", 3: "abab", 4: "abba", 5: "abba", 6: "abab"}
    for step, letters in answers.items():
        parquet(tmp_path / "c" / f"completions_{step:05d}.parquet", trl_rows(step, letters))
    run, said = imported(tmp_path, tmp_path / "c")
    assert run.kept_steps("samples") == [1, 4, 6]
    assert "the completions of 3 steps (2, 3, 5) are" in said
    assert run.last_step() == 6


def test_short_or_equal_answers_may_be_sampled_again(tmp_path: Path) -> None:
    for step in (1, 2):
        parquet(tmp_path / "same" / f"completions_{step:05d}.parquet", trl_rows(step, "aaaa"))
        short = [row | {"completion": row["completion"][-1]} for row in trl_rows(step)]
        parquet(tmp_path / "short" / f"completions_{step:05d}.parquet", short)
    for name in ("same", "short"):
        run, said = imported(tmp_path / f"of {name}", tmp_path / name)
        assert run.kept_steps("samples") == [1, 2]
        assert "Logged" not in said


def test_equal_rows_of_two_workers_are_kept_where_nobody_gathers_them(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{name}.jsonl", [jsonl_row()]) for name in "ab"]
    run, _ = imported(tmp_path, *files, files[0], source="jsonl")
    # A file that is named twice is read once.
    assert len(run.samples(1)) == 2


# ---------------------------------------------------------------- evaluations


def test_an_evaluation_that_took_a_steps_file_is_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "completions"
    parquet(folder / "completions_00000.parquet", trl_rows(0, "bbbb"))
    parquet(folder / "completions_00001.parquet", trl_rows(1))
    parquet(folder / "completions_00002.parquet", trl_rows(2, "aaab"))
    run, said = imported(tmp_path, folder, evaluation=["*_00002.*"])
    assert run.kept_steps("samples") == [1]
    steps = run.steps()
    assert steps["eval/reward"].tolist()[1:] == [pytest.approx(1.125)]
    assert steps["eval/rewards/right"].tolist()[1:] == [0.75]
    assert steps["reward"].isna().tolist() == [False, True]
    # TRL logs a step 0 where it evaluates before training: its file says so by itself.
    assert "8 completions at 2 steps" in said
    assert "At step 0 it is 0." in said


@pytest.mark.parametrize("word", ["eval", "Validation", "test"])
def test_rows_that_say_so_are_of_an_evaluation(word: str, tmp_path: Path) -> None:
    rows = [jsonl_row(split="train"), jsonl_row(split=word, reward=0.0)]
    run, said = imported(tmp_path, written(tmp_path / "c.jsonl", rows), source="jsonl")
    assert run.samples(1)["reward"].tolist() == [1]
    assert run.steps()["eval/reward"].tolist() == [0]
    assert "1 completions at 1 steps" in said
    assert "Columns not read" not in said


def test_a_step_0_of_a_training_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "c.jsonl", [jsonl_row(step=0)])
    with pytest.raises(ImportFileError, match="step 0.*--evaluation"):
        import_completions([file], "jsonl", tmp_path / "run")


# ---------------------------------------------------------------- the command, and hostile names


def test_the_command_takes_all_of_it(workbench: Command, tmp_path: Path) -> None:
    parquet(tmp_path / "c" / "completions_00001.parquet", trl_rows(1, total=2.0))
    parquet(tmp_path / "c" / "completions_00002.parquet", trl_rows(2, total=2.0))
    asked = ["import", "c", "--from", "trl", "--out", "run", "--reward", "form"]
    asked += ["--reward", "right", "--total", "total", "--evaluation", "*2.parquet"]
    printed = " ".join(workbench(*asked, cwd=tmp_path).stdout.split())
    assert "4 completions of 1 steps" in printed
    assert "Taken as the total reward: total." in printed
    assert "of an evaluation: 4 completions" in printed
    run = Run.open(tmp_path / "run")
    assert run.meta.reward_names == ["form", "right"]
    assert run.samples(1)["reward"].tolist() == [2] * 4
    assert "▪" not in report(run)


def test_names_of_columns_are_inert(workbench: Command, tmp_path: Path) -> None:
    bad = "<img src=x onerror=alert(1)>\x1b[31m[red]"
    rows = [
        jsonl_row(rewards={bad: float(i)}, step=step, **{bad: "x"})
        for step in range(1, 13)
        for i in range(2)
    ]
    written(tmp_path / "c.jsonl", rows)
    printed = workbench("import", "c.jsonl", "--from", "jsonl", "--out", "run", cwd=tmp_path).stdout
    assert "\x1b" not in printed
    assert "[red]" in printed
    run = Run.open(tmp_path / "run")
    export_html([run.path], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<img" not in page
    assert "imported from files of jsonl" in page
    refused = workbench(
        "import", "c.jsonl", "--from", "jsonl", "--reward", bad + "2", cwd=tmp_path, code=2
    ).stderr
    assert "\x1b" not in refused
