"""JSONL files of problems: keys, gold answers, splits, and what a bad file is told."""

import json
import warnings
from pathlib import Path

import pytest

from workbench.tasks import TaskError, load_task
from workbench.tasks.format import SYSTEM_PROMPT

GSM8K = Path(__file__).parents[2].parent / "shared" / "data" / "gsm8k" / "train.jsonl"


def write(path, rows):
    lines = [row if isinstance(row, (str, bytes)) else json.dumps(row) for row in rows]
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    )
    return path


def rows(n, start=0):
    return [
        {"question": f"{i} + 1?", "answer": f"one more\n#### {i + 1}"}
        for i in range(start, start + n)
    ]


def test_gsm8ks_format(tmp_path):
    row = {"question": " How many? ", "answer": "48*30 = <<48*30=1440>>1,440\n#### 1,440"}
    task = load_task(write(tmp_path / "sums.jsonl", [row, *rows(3)]), held_out=1)
    problem = next(p for p in [*task.train, *task.held_out] if p.question == "How many?")
    assert problem.answer == "1440"
    assert problem.columns == {"solution": row["answer"]}
    assert (task.name, task.system_prompt) == ("sums", SYSTEM_PROMPT)


@pytest.mark.parametrize(
    ("row", "answer", "columns"),
    [
        ({"problem": "q", "solution": "So \\boxed{\\frac{1}{2}}.", "level": 5}, "\\frac{1}{2}",
         {"solution": "So \\boxed{\\frac{1}{2}}.", "level": 5}),
        ({"problem": "q", "solution": "long\ntext", "answer": "7"}, "7",
         {"solution": "long\ntext"}),
        ({"prompt": "q", "target": 72}, "72", {"target": 72}),
        ({"question": "q", "gold": 0.5}, "0.5", {"gold": 0.5}),
        ({"question": "q", "answer": "Paris", "prompt": "reserved"}, "Paris", {}),
        ({"question": "q", "answer": "-1,234.5"}, "-1234.5", {"solution": "-1,234.5"}),
        ({"question": "q", "answer": "1,2"}, "1,2", {}),
    ],
)  # fmt: skip
def test_keys_and_gold_answers(tmp_path, row, answer, columns):
    other = {
        k: v if k not in ("question", "problem", "prompt") else "another" for k, v in row.items()
    }
    task = load_task(write(tmp_path / "a.jsonl", [row, other]), held_out=1)
    problem = next(p for p in [*task.train, *task.held_out] if p.question == "q")
    assert (problem.answer, dict(problem.columns)) == (answer, columns)


def test_named_keys_and_kind(tmp_path):
    lines = [{"q": f"q{i}", "a": str(i), "question": "no", "kind": "sum"} for i in range(4)]
    task = load_task(
        write(tmp_path / "a.jsonl", lines), question_key="q", answer_key="a", held_out=1
    )
    assert {p.question: p.answer for p in [*task.train, *task.held_out]} == {
        f"q{i}": str(i) for i in range(4)
    }
    assert task.train[0].kind == "sum"


def test_a_test_file_beside_a_train_file_is_held_out(tmp_path):
    folder = tmp_path / "sums"
    folder.mkdir()
    write(folder / "train.jsonl", rows(5))
    write(folder / "test.jsonl", rows(3, start=4))
    with pytest.warns(
        UserWarning, match="1 question.* left out of training because they are held out"
    ):
        task = load_task(folder / "train.jsonl")
    assert [p.answer for p in task.train] == ["1", "2", "3", "4"]
    assert [p.answer for p in task.held_out] == ["5", "6", "7"]
    assert task.name == "sums"


def test_a_named_file_is_held_out(tmp_path):
    task = load_task(
        write(tmp_path / "a.jsonl", rows(5)), held_out=write(tmp_path / "b.jsonl", rows(2, start=9))
    )
    assert [p.answer for p in task.held_out] == ["10", "11"]
    assert len(task.train) == 5


def test_the_split_is_disjoint_complete_and_seeded(tmp_path):
    path = write(tmp_path / "a.jsonl", rows(100))
    task, same, other = (load_task(path, seed=seed) for seed in (0, 0, 1))
    assert (len(task.train), len(task.held_out)) == (90, 10)
    assert {p.question for p in [*task.train, *task.held_out]} == {
        row["question"] for row in rows(100)
    }
    assert task.held_out == same.held_out
    assert task.held_out != other.held_out


def test_a_repeated_question_is_kept_once(tmp_path):
    with pytest.warns(UserWarning, match="2 repeated question"):
        task = load_task(write(tmp_path / "a.jsonl", [*rows(4), *rows(2)]), held_out=1)
    assert len(task.train) == 3


def test_a_clean_file_gives_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines = ["\ufeff" + json.dumps(rows(1)[0]), "", *rows(3, start=1), "  \r"]
        load_task(write(tmp_path / "a.jsonl", lines), held_out=1)


GOOD = {"question": "q", "answer": "1"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no problems in it; the file is empty"),
        (["", "  "], "the file is empty"),
        (
            [GOOD, '{"question": "x", '],
            r"line 2: not valid JSON .* The line begins: '\{\"question\": \"x\",'",
        ),
        ([GOOD, "[1, 2]"], "line 2: holds a list, expected an object"),
        ([GOOD, "", b'{"question": "\xff"}'], r"line 3: not UTF-8 .*xff"),
        ([GOOD, "[" * 100_000], "line 2: not valid JSON"),
        ([GOOD, '{"question": "x", "answer": NaN}'], "line 2: not valid JSON .NaN is not JSON"),
        ([GOOD, '{"question": "x", "answer": ' + "9" * 5000 + "}"], "line 2: not valid JSON"),
        (
            [{"text": "q"}],
            r"line 1: no question: none of 'question', 'problem', 'prompt', .* is among its keys "
            r"\['text'\]",
        ),
        ([{"question": "q"}], "line 1: no answer: none of 'answer', .*answer_key="),
        ([GOOD, {"question": "x"}], "line 2: no answer: the key 'answer' is missing"),
        ([GOOD, {"question": "x", "answer": None}], "line 2: the answer .key 'answer'. is None"),
        ([GOOD, {"question": "x", "answer": True}], "line 2: the answer .key 'answer'. is True"),
        (
            [GOOD, {"question": [1, 2], "answer": "1"}],
            "line 2: the question .* expected",
        ),
        ([GOOD, {"question": "x", "answer": "  "}], "line 2: the answer .key 'answer'. is blank"),
        (
            [GOOD, {"question": "x", "answer": "long\n#### "}],
            "line 2: the gold answer after '####'",
        ),
        (
            [GOOD, {"question": "x", "answer": "so \\boxed{1"}],
            "line 2: the gold answer .*not closed",
        ),
        (
            [GOOD, {"question": "x", "answer": "word " * 100}],
            "line 2: the answer is a long text without",
        ),
        ([GOOD, '{"question": "\\ud800", "answer": "1"}'], "line 2: .*half a surrogate pair"),
        ([GOOD], "cannot hold out 1 of 1 problem"),
    ],
)
def test_a_bad_file_is_told_file_line_and_reason(tmp_path, lines, message):
    with pytest.raises(TaskError, match=message) as error:
        load_task(write(tmp_path / "bad.jsonl", lines))
    assert "bad.jsonl" in str(error.value)
    assert len(str(error.value)) < 900


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", "ends in '.xlsx', expected one of .jsonl, .json, .csv"),
        ("no.jsonl", "no such file"),
        ("d", "is a folder"),
    ],
)
def test_paths_that_are_no_jsonl_file(tmp_path, name, message):
    (tmp_path / "a.xlsx").write_text("x")
    (tmp_path / "d").mkdir()
    with pytest.raises(TaskError, match=message):
        load_task(tmp_path / name)


@pytest.mark.parametrize("count", [0, 4, -1, True])
def test_a_held_out_count_that_leaves_nothing_is_refused(tmp_path, count):
    with pytest.raises(TaskError, match="cannot hold out"):
        load_task(write(tmp_path / "a.jsonl", rows(4)), held_out=count)


def test_an_unknown_task_lists_the_choices():
    with pytest.raises(
        TaskError, match=r"'arithmetik' is unknown. Choose one of arithmetic, .*math, or the path"
    ):
        load_task("arithmetik")


@pytest.mark.skipif(
    not GSM8K.is_file(),
    reason="needs the GSM8K files in ../shared/data/gsm8k beside the repository",
)
def test_the_real_gsm8k():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = load_task(GSM8K)
    assert (task.name, len(task.train), len(task.held_out)) == ("gsm8k", 7473, 1319)
    assert task.train[0].answer == "72"
    assert all(
        p.columns["solution"].endswith(f"#### {p.answer}")
        for p in task.train
        if int(p.answer) < 1000
    )
