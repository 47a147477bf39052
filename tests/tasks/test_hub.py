"""Data sets of the Hub by name, from local folders and caches: no test has a network."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from runs.run_examples import new_run

from tests.helpers import in_one_test
from workbench.commands.resuming import parts_of
from workbench.config import GRPOConfig
from workbench.tasks import TaskError, is_hub_name, load_task
from workbench.tasks.for_config import as_read, load_task_for
from workbench.tasks.published import MATH_SUBJECTS, PUBLISHED
from workbench.tasks.sources.hub import hub_name

README = """---
configs:
- config_name: algebra
  data_files:
  - {split: train, path: algebra/train.jsonl}
  - {split: test, path: algebra/test.jsonl}
- config_name: geometry
  data_files:
  - {split: train, path: geometry/train.jsonl}
  - {split: test, path: geometry/test.jsonl}
- config_name: benchmark
  data_files:
  - {split: test, path: algebra/test.jsonl}
- config_name: parts
  data_files:
  - {split: easy, path: algebra/train.jsonl}
  - {split: hard, path: geometry/train.jsonl}
- config_name: one
  data_files:
  - {split: everything, path: algebra/train.jsonl}
---
"""


@pytest.fixture(autouse=True)
def no_cache_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def _rows(subject: str, split: str, count: int) -> list[dict]:
    return [
        {
            "problem": f"{subject}, {split}: what is {i} + 1?",
            "solution": f"We add: \\boxed{{{i + 1}}}.",
            "type": subject.title(),
            "level": f"Level {i % 5 + 1}",
        }
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository as it lies on the Hub: a README that names the configs, and their files."""
    place = tmp_path / "competition"
    for subject in ("algebra", "geometry"):
        (place / subject).mkdir(parents=True)
        for split, count in (("train", 12), ("test", 6)):
            lines = map(json.dumps, _rows(subject, split, count))
            (place / subject / f"{split}.jsonl").write_text("\n".join(lines))
    (place / "README.md").write_text(README)
    return place


def _sizes(task) -> tuple[int, int]:
    return len(task.train), len(task.held_out)


def test_a_data_set_comes_in_its_own_splits_with_subject_and_level(folder: Path) -> None:
    task = load_task(f"hf:{folder / 'algebra'}")
    assert _sizes(task) == (12, 6)
    first = task.train[0]
    assert (first.subject, first.level, first.answer) == ("Algebra", 1, "1")
    assert first.solution == "We add: \\boxed{1}."
    assert task.demonstration(first).endswith("</think><answer>1</answer>")


def test_configs_are_named_behind_a_slash_and_read_one_behind_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    task = load_task("hf:./competition/algebra+geometry")
    assert _sizes(task) == (24, 12)
    assert {p.subject for p in task.train} == {"Algebra", "Geometry"}
    assert task.name == "hf:./competition/algebra+geometry"
    # A place that can be found again.
    assert task.train[13].place == "hf:./competition/algebra+geometry@train, row 13"


def test_a_split_is_named_behind_an_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    task = load_task("hf:./competition/parts@easy", held_out=3)
    assert _sizes(task) == (9, 3)
    task = load_task("hf:./competition/parts@easy", held_out="hf:./competition/parts@hard")
    assert _sizes(task) == (12, 12)
    assert {p.subject for p in task.held_out} == {"Geometry"}
    with pytest.raises(TaskError, match=r"splits \['easy', 'hard'\], and none of them is 'train'"):
        load_task("hf:./competition/parts")
    assert _sizes(load_task("hf:./competition/one")) == (11, 1)


def test_a_test_split_alone_is_all_held_out_and_never_trained_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for source in ("hf:./competition/benchmark", "hf:./competition/algebra@test"):
        task = load_task(source)
        assert _sizes(task) == (0, 6)
        assert task.evaluation_only
        assert "0 to train on, 6 held out" in task.describe()
        for refuses in (lambda: as_read(GRPOConfig(), task), lambda: task.draw(0, 1, 0)):  # noqa: B023
            with pytest.raises(TaskError, match="6 problem\\(s\\) to be asked, and none to train"):
                refuses()
    # Whoever says what to hold out of it wants to train on the rest.
    assert _sizes(load_task("hf:./competition/benchmark", held_out=2)) == (4, 2)


def test_a_saved_data_set_is_loaded_from_its_folder(tmp_path: Path) -> None:
    rows = {"train": _rows("algebra", "train", 5), "test": _rows("algebra", "test", 2)}
    made = datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in rows.items()})
    made.save_to_disk(str(tmp_path / "saved"))
    assert _sizes(load_task(f"hf:{tmp_path / 'saved'}")) == (5, 2)
    assert _sizes(load_task(f"hf:{tmp_path / 'saved'}@test")) == (0, 2)
    with pytest.raises(TaskError, match=r"splits \['train', 'test'\], and 'nix' is none"):
        load_task(f"hf:{tmp_path / 'saved'}@nix")


def test_what_was_loaded_once_comes_from_the_cache_without_a_network(
    folder: Path, tmp_path: Path
) -> None:
    datasets.load_dataset(str(folder), "algebra")
    # As the library keeps a data set of the Hub: owner and name, joined by three underscores.
    cached = tmp_path / "cache" / "competition"
    for table in cached.rglob("competition-*.arrow"):
        table.rename(table.with_name(table.name.replace("competition", "problems")))
    cached.rename(cached.with_name("owner___problems"))
    task = load_task("hf:owner/problems/algebra")
    assert _sizes(task) == (12, 6)
    assert task.name == "hf:owner/problems/algebra"


def test_without_network_and_cache_the_error_says_what_to_do() -> None:
    said = r"'openai/gsm8k' could not be loaded from the Hub .*give the path of a local copy"
    for source in ("gsm8k", "hf:openai/gsm8k/main"):
        with pytest.raises(TaskError, match=said):
            load_task(source)
    with pytest.raises(TaskError, match=r"A data set of the Hub: hf:openai/gsm8k"):
        load_task("openai/gsm8k")


FAILURES = [
    {"name": "hf:./competition", "said": "Config name is missing"},
    {"name": "hf:./competition/nix", "said": "'nix' not found. Available: .*'algebra'"},
    {"name": "hf:./competition/algebra@nix", "said": 'Unknown split "nix". .*train'},
]


@in_one_test(FAILURES)
def test_a_config_or_split_that_is_not_there_lists_those_that_are(
    name: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(TaskError, match=f"(?s){said}.*hf:owner/name/CONFIG@SPLIT"):
        load_task(name)


NO_NAMES = ["hf:", "hf:gsm8k", "hf:a/b/c/d", "hf:a//b", "hf:a/b@", "hf:a/b;rm/c"]


@in_one_test({"text": text} for text in NO_NAMES)
def test_what_is_no_name_is_refused_before_anything_is_asked_for(text: str) -> None:
    with pytest.raises(TaskError, match="names no data set. Expected hf:owner/name"):
        hub_name(text)


def test_a_name_is_taken_apart() -> None:
    name = hub_name("hf:EleutherAI/hendrycks_math/algebra+geometry@train[:50]")
    assert name.path == "EleutherAI/hendrycks_math"
    assert (name.configs, name.split) == (("algebra", "geometry"), "train[:50]")
    assert is_hub_name("hf:a/b")
    assert not is_hub_name(Path("hf:a/b"))


def test_a_run_of_such_a_task_goes_on_without_naming_it_again(tmp_path: Path) -> None:
    new_run(tmp_path / "run.sqlite", task="hf:openai/gsm8k/main").finish("stopped")
    parts = parts_of(tmp_path, True, None, None, ["answer"], None)
    assert parts.task == "hf:openai/gsm8k/main"


def test_the_published_tasks_name_their_splits_and_subjects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def loaded(path: str, config: str) -> datasets.DatasetDict:
        asked.append((path, config))
        parts = {split: _rows(config, split, n) for split, n in (("train", 3), ("test", 2))}
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_list(rows) for split, rows in parts.items()}
        )

    monkeypatch.setattr(datasets, "load_dataset", loaded)
    task = load_task("math", unreadable_golds="skip", system_prompt="Box it: \\boxed{}")
    assert asked == [("EleutherAI/hendrycks_math", subject) for subject in MATH_SUBJECTS]
    assert (task.name, *_sizes(task)) == ("math", 21, 14)
    assert task.demonstration(task.train[0]) == task.train[0].solution
    assert hub_name(PUBLISHED["gsm8k"]).configs == ("main",)


# ------------------------------------------------------------ columns by name


ROWS = [
    {"q": f"What is {i} + 2?", "a": i + 2, "why": f"{i} and 2", "field": "sums", "hard": i % 3}
    for i in range(6)
]
KEYS = {
    "question_key": "q",
    "answer_key": "a",
    "solution_key": "why",
    "subject_key": "field",
    "level_key": "hard",
}


def test_named_columns_are_read_and_stay_with_the_run() -> None:
    config = GRPOConfig(**KEYS)
    task = load_task_for(config, ROWS)
    first = next(p for p in (*task.train, *task.held_out) if p.question == "What is 4 + 2?")
    assert (first.answer, first.solution) == ("6", "4 and 2")
    assert (first.subject, first.level) == ("sums", 1)
    assert as_read(GRPOConfig(), task) == config


def test_a_named_column_that_is_not_there_is_said() -> None:
    with pytest.raises(TaskError, match="no level: 'har' is not .*--column level=KEY.*") as told:
        load_task(ROWS, **KEYS | {"level_key": "har"})
    assert "question-key" not in str(told.value)


def test_rows_in_which_no_gold_is_found_are_listed_together_or_left_out() -> None:
    two_finals = {"question": "a?", "answer": "\\boxed{1}\n#### 2"}
    blank_box = {"question": "b?", "answer": "so \\boxed{}"}
    rows = [{"question": f"{i}?", "answer": str(i)} for i in range(4)]
    rows = [rows[0], two_finals, *rows[1:], blank_box]
    with pytest.raises(TaskError, match="row 1: .*two final answers.*2 row.*row 1, row 5"):
        load_task(rows)
    with pytest.warns(UserWarning, match="2 row.* without a gold left out: row 1; row 5"):
        task = load_task(rows, unreadable_golds="skip", held_out=1)
    assert _sizes(task) == (3, 1)
