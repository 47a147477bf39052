"""Rows in the shapes that people have: message lists, nested keys, instruction sets, tables."""

import json
import warnings

import pytest

from tests.helpers import in_one_test
from workbench.tasks import TaskError, load_task
from workbench.tasks.format import SYSTEM_PROMPT


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


BE_BRIEF = system("Be brief.")

SHAPES = {
    "verl": {"data_source": "x", "prompt": [user("3+4?")], "ability": "math",
             "reward_model": {"style": "rule", "ground_truth": "7"},
             "extra_info": {"index": 1, "answer": "3+4=7\n#### 7"}},
    "a number as ground truth": {"prompt": [user("3+4?")], "reward_model": {"ground_truth": 7}},
    "golds in a list of one": {"prompt": [user("3+4?")], "reward_model": {"ground_truth": ["7"]}},
    "TRL": {"prompt": [user("3+4?")], "solution": "so $\\boxed{7}$"},
    "TRL's ground_truth": {"prompt": "3+4?", "ground_truth": "7"},
    "one message": {"prompt": user("3+4?"), "answer": "7"},
    "parts": {"prompt": [{"role": "user", "content": [{"type": "text", "text": "3+4?"}]}],
              "answer": "7"},
    "Alpaca": {"instruction": "3+4?", "input": "", "output": "7"},
    "chat": {"messages": [user("3+4?"), {"role": "assistant", "content": "3+4=7\n#### 7"}]},
    "ShareGPT": {"conversations": [{"from": "human", "value": "3+4?"},
                                   {"from": "gpt", "value": "\\boxed{7}"}]},
    "capitals": {"Question": "3+4?", "Answer": "7"},
    "OpenR1": {"problem": "3+4?", "solution": "long\ntext", "answer": "7"},
    "GSM-Hard": {"input": "3+4?", "code": "…", "target": 7.0},
    "TRL's prompt and completion": {
        "prompt": [user("3+4?")],
        "completion": [{"role": "assistant", "content": "so \\boxed{7}"}]},
    "Skywork": {"prompt": [user("3+4?")], "reward_model": {"ground_truth": '["7"]'}},
    "a cell of JSON": {"prompt": json.dumps([user("3+4?")]), "answer": "7"},
}  # fmt: skip


def only(row, **options):
    """The task and its problem from `row`; another question makes up the second split."""
    text = json.dumps(row)
    assert "3+4?" in text
    other = json.loads(text.replace("3+4?", "other"))
    task = load_task([row, other], held_out=1, **options)
    problem = next(p for p in (*task.train, *task.held_out) if "other" not in p.question)
    return task, problem


@in_one_test({"name": name} for name in SHAPES)
def test_each_shape_is_read_without_naming_its_keys(name):
    task, problem = only(SHAPES[name])
    assert (problem.question, problem.answer.removesuffix(".0")) == ("3+4?", "7")
    assert task.messages(problem) == [system(SYSTEM_PROMPT), user("3+4?")]


def test_dotted_keys_lead_into_nested_objects():
    row = {"in": {"text": [{"q": "3+4?"}]}, "out": {"value": 7}, "a.b": "8"}
    task, problem = only(row, question_key="in.text.0.q", answer_key="out.value")
    assert (problem.question, problem.answer) == ("3+4?", "7")
    assert "in.text.0.q" in task.describe()
    assert only(row, question_key="in.text.0.q", answer_key="a.b")[1].answer == "8"


def test_an_interval_is_no_list_of_golds():
    assert only({"question": "3+4?", "answer": "[1, 2]"})[1].answer == "[1, 2]"


def test_an_instruction_and_its_input_are_one_question():
    row = {"instruction": "Add.", "input": "3+4?", "output": "7"}
    assert only(row)[1].question == "Add.\n\n3+4?"


@in_one_test(
    {"row": row}
    for row in (
        {"Body": "Tom has 3.", "Question": "3+4?", "Answer": 7.0, "Equation": "( 3.0 + 4.0 )"},
        {"passage": "Tom has 3.", "question": "3+4?", "answer": "7.0"},
        {"context": "Tom has 3.", "question": "3+4?", "answer": "7.0"},
    )
)
def test_the_text_that_a_question_is_about_stands_above_it_and_it_is_said(row):
    """SVAMP's body, BoolQ's passage: without them nobody could answer."""
    with pytest.warns(UserWarning, match="is put above the question"):
        _, problem = only(row)
    assert (problem.question, problem.answer) == ("Tom has 3.\n\n3+4?", "7.0")


def test_a_context_that_the_question_repeats_or_that_is_no_text_is_left():
    repeated = {"context": "Tom has 3.", "question": "Tom has 3. 3+4?", "answer": "7"}
    with pytest.warns(UserWarning, match="is put above"):
        assert only(repeated)[1].question == "Tom has 3. 3+4?"
    assert only({"context": {"a": 1}, "question": "3+4?", "answer": "7"})[1].question == "3+4?"


# ------------------------------------------------------------------------------ system messages

WITH_SYSTEM = {
    "TRL": {"prompt": [BE_BRIEF, user("3+4?")], "answer": "7"},
    "beside the prompt": {"system": "Be brief.", "question": "3+4?", "answer": "7"},
    "its JSON": {"prompt": json.dumps([BE_BRIEF, user("3+4?")]), "answer": "7"},
    "a developer's": {"prompt": [{"role": "developer", "content": "Be brief."}, user("3+4?")],
                      "answer": "7"},
}  # fmt: skip


@in_one_test({"name": name} for name in WITH_SYSTEM)
def test_a_system_message_of_the_data_is_kept_and_said(name):
    with pytest.warns(UserWarning, match=r"2 of 2 problems keep the system message.*Be brief"):
        task, problem = only(WITH_SYSTEM[name])
    assert task.messages(problem) == [BE_BRIEF, user("3+4?")]
    assert "keep the system message" in task.describe()


@pytest.mark.parametrize("prompt", ["Think.", None])
def test_or_replaced_and_said(prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task, problem = only(WITH_SYSTEM["TRL"], system_prompt=prompt)
    assert "is replaced in 2 of 2 problems" in task.describe()
    expected = [] if prompt is None else [system(prompt)]
    assert task.messages(problem) == [*expected, user("3+4?")]


def test_the_key_of_a_system_message_can_be_named():
    row = {"meta": {"role": "Be brief."}, "question": "3+4?", "answer": "7"}
    with pytest.warns(UserWarning, match="keep the system message"):
        task, problem = only(row, system_key="meta.role")
    assert task.messages(problem)[0] == BE_BRIEF
    with pytest.raises(TaskError, match=r"no system: 'rule' is not among.*--system-key"):
        only(row, system_key="rule")


def test_earlier_turns_are_part_of_the_prompt_and_of_what_makes_two_problems_differ():
    shots = [user("1+1?"), {"role": "assistant", "content": "2"}]
    rows = [{"prompt": [*shots, user("and 3 more?")], "answer": "5"},
            {"prompt": [user("2+2?"), {"role": "assistant", "content": "4"}, user("and 3 more?")],
             "answer": "7"}]  # fmt: skip
    task = load_task(rows, held_out=1, system_prompt=None)
    by_gold = {p.answer: task.messages(p) for p in (*task.train, *task.held_out)}
    assert by_gold["5"] == [*shots, user("and 3 more?")]
    assert by_gold.keys() == {"5", "7"}


# ------------------------------------------------------------------------------ what is refused

TWO_SYSTEMS = {"system": "Be long.", "prompt": [BE_BRIEF, user("3+4?")], "answer": "7"}


@in_one_test(
    [
        {"row": TWO_SYSTEMS, "message": "two system messages"},
        {"row": {"prompt": "[{'role': 'user', 'content': '3+4?'}]", "answer": "7"},
         "message": "Python's spelling, which is not evaluated"},
        {"row": {"prompt": [{"role": "tool", "content": "3+4?"}], "answer": "7"},
         "message": "the role 'tool'"},
        {"row": {"prompt": [BE_BRIEF | {"content": "3+4?"}], "answer": "7"},
         "message": "no turn of the user at its end"},
        {"row": {"prompt": [user("3+4?"), BE_BRIEF, user("?")], "answer": "7"},
         "message": "behind its first turn"},
        {"row": {"prompt": [user(None), user("3+4?")], "answer": "7"}, "message": "is None"},
        {"row": {"prompt": [user("3+4?")], "reward_model": {"ground_truth": ["7", "8"]}},
         "message": "2 golds"},
        {"row": {"prompt": [user("3+4?")], "reward_model": {"ground_truth": '["7", "8"]'}},
         "message": "2 golds"},
        {"row": {"question": "3+4?", "answer": True}, "message": "name another key: answer_key="},
        {"row": {"prompt": [user("3+4?")], "completion": [user("7")]},
         "message": "does not end in the assistant's turn"},
        {"row": {"prompt": [user("3+4?")], "reward_model": {"gold": "7"}},
         "message": r"reward_model\.gold'.*answer_key= \(on the command line --answer-key\)"},
        {"row": {"instruction": "3+4?", "input": "", "output": "a story\nof words"},
         "message": "a long text without"},
        {"row": {"question": "3+4?", "answer": float("nan")}, "message": "is None"},
        {"row": {"question": "3+4?", "answer": {"value": "7", "aliases": []}},
         "message": r"Name one, as answer\.value: answer_key= \(on the command line --answer-key"},
    ]
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_what_to_do(row, message):
    with pytest.raises(TaskError, match=message):
        only(row)


# -------------------------------------------------------------------------------------- sources

ROWS = [{"prompt": [user(f"{i}+1?")], "reward_model": {"ground_truth": str(i + 1)}, "n": i}
        for i in range(6)]  # fmt: skip
FLAT = [{"question": f"{i}+1?", "answer": str(i + 1), "n": i} for i in range(6)]


def sources(folder):
    import datasets
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet")
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (folder / "a.json").write_text(json.dumps(ROWS, indent=1))
    (folder / "lines.json").write_text("\n".join(map(json.dumps, ROWS)))
    (folder / "inner.json").write_text(json.dumps({"version": 1, "data": ROWS}))
    pd.DataFrame(FLAT).to_csv(folder / "a.csv", index=False)
    pd.DataFrame(FLAT).to_csv(folder / "semicolons.csv", index=False, sep=";")
    pd.DataFrame(FLAT).to_csv(folder / "a.tsv", index=False, sep="\t")
    yield from sorted(folder.iterdir())
    yield ROWS
    yield pd.DataFrame(ROWS)
    yield pd.read_parquet(folder / "a.parquet")
    yield pa.Table.from_pylist(ROWS)
    yield datasets.Dataset.from_list(ROWS)
    yield datasets.Dataset.from_list(ROWS).to_iterable_dataset()


def test_the_same_problems_come_from_every_source(tmp_path):
    expected = {(f"{i}+1?", str(i + 1)) for i in range(6)}
    wrong = {}
    for data in sources(tmp_path):
        task = load_task(data, held_out=2)
        found = {(p.question, p.answer) for p in (*task.train, *task.held_out)}
        kept = {str(p.columns["n"]) for p in (*task.train, *task.held_out)}
        if found != expected or kept != set("012345"):
            wrong[str(data)[-40:]] = found
    assert not wrong


def test_a_data_set_with_splits_brings_its_own_held_out(tmp_path):
    import datasets

    splits = {"train": ROWS[:4], "test": ROWS[4:]}
    as_data_set = datasets.DatasetDict(
        {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
    )
    for data in (splits, as_data_set):
        assert [p.answer for p in load_task(data).held_out] == ["5", "6"]
    with pytest.raises(TaskError, match="has no 'train'"):
        load_task({"dev": ROWS})


def test_a_test_shard_beside_a_train_shard_is_held_out(tmp_path):
    import pandas as pd

    folder = tmp_path / "sums"
    folder.mkdir()
    pd.DataFrame(FLAT[:4]).to_parquet(folder / "train-00000-of-00001.parquet")
    pd.DataFrame(FLAT[4:]).to_parquet(folder / "test-00000-of-00001.parquet")
    task = load_task(folder / "train-00000-of-00001.parquet")
    assert (task.name, [p.answer for p in task.held_out]) == ("sums", ["5", "6"])


def test_what_pandas_calls_missing_is_missing():
    import pandas as pd

    frame = pd.DataFrame({"question": ["a", "b", "c"], "answer": [1, 2, None]})
    with pytest.raises(TaskError, match="row 2: the answer .*is None"):
        load_task(frame)
    twice = pd.DataFrame([["a", "b", "1"]], columns=["question", "question", "answer"])
    with pytest.raises(TaskError, match="two columns 'question'"):
        load_task(twice)


@in_one_test(
    [
        {"data": 7, "message": "cannot be read from int"},
        {"data": ["a", "b"], "message": "row 0: is a str, expected a dict"},
        {"data": [], "message": "the list: no problems in it"},
        {"data": None, "message": "cannot be read from NoneType"},
    ]
)
def test_what_is_no_source_is_told_what_one_is(data, message):
    with pytest.raises(TaskError, match=message):
        load_task(data)


def test_keys_for_a_task_without_any_are_refused():
    with pytest.raises(TaskError, match="question_key, held_out can be given for a file"):
        load_task("arithmetic", question_key="q", held_out=3)
    assert load_task("arithmetic", system_prompt=None).system_prompt is None


@pytest.mark.filterwarnings("ignore")
def test_a_description_spells_out_what_a_terminal_or_a_page_would_obey():
    hostile = "3+4?\x1b[2J\x1b]0;owned\x07 [red]<b>"
    rows = [{"prompt": [system("\x1b[31m"), user(f"{n} {hostile}")], "answer": "7\x1b[5m"}
            for n in range(2)]  # fmt: skip
    said = load_task([*rows, rows[0]], name="\x1b[1m", held_out=1).describe()
    assert "\x1b" not in said
    assert "\x07" not in said


def test_the_same_question_with_two_golds_is_left_out_and_named(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [*FLAT, {"question": "0+1?", "answer": "2"}, {"question": "1+1?", "answer": "2"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(UserWarning, match="left out") as told:
        task = load_task(path, held_out=1)
    assert "0+1?" not in {p.question for p in (*task.train, *task.held_out)}
    said = " ".join(str(warning.message) for warning in told)
    assert "line 1 (gold '1') and line 7 (gold '2')" in said
    assert "1 repeated question(s) left out: line 8" in said


def test_another_gold_in_the_held_out_split_is_named():
    splits = {"train": FLAT, "test": [{"question": "0+1?", "answer": "2"}]}
    with pytest.warns(UserWarning, match="1 of them with another gold there: '0"):
        load_task(splits)
