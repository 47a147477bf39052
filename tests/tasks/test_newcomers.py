"""Files as a newcomer brings them: what is read of them, and what is said where they cannot be."""

import json

import pytest

from workbench.tasks import TaskError, TaskWarning, load_task


def problems_of(rows, **options):
    """All problems of `rows` by their question."""
    task = load_task(rows, held_out=1, **options)
    return {problem.question: problem for problem in (*task.train, *task.held_out)}


# ------------------------------------------------------------ keys


LABELLED = {"id": 1, "data": {"text": "3+4?"}, "annotations": [{"id": 5, "result": ["7"]}]}


def test_a_key_that_leads_into_a_list_of_one_is_named_with_its_number():
    with pytest.raises(TaskError, match=r"as annotations\.0\.id:"):
        load_task([LABELLED] * 2, question_key="data.text", answer_key="annotations")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("annotations.id", r"annotations is a list of 1.*numbered from 0: annotations\.0"),
        ("annotations.0.gold", r"annotations\.0 is an object with the keys \['id', 'result'\]"),
        ("data.text.answer", r"data\.text is '3\+4\?', which has no parts"),
        ("annotations.1.id", r"annotations is a list of 1"),
    ],
)
def test_a_path_that_breaks_off_says_where(key, message):
    with pytest.raises(TaskError, match=message):
        load_task([LABELLED] * 2, question_key="data.text", answer_key=key)


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"Question Text": "3+4?", "answer": "7"}, {"question_key": "question_text"}),
        ({"question": "3+4?", "Final  Result": "7"}, {"answer_key": "final_result"}),
        ({"question": "3+4?", "meta": {"result": "7"}}, {"answer_key": "meta.reslt"}),
        ({"question": "3+4?", "anwser": "7"}, {}),
    ],
)
def test_a_key_that_is_nearly_there_is_asked_for(row, options):
    with pytest.raises(TaskError, match=r"Did you mean '|meta is an object"):
        load_task([row, row], **options)


# ------------------------------------------------------------ one name for two things


def test_two_columns_of_one_name_are_refused_in_a_csv_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer,answer\n1+1?,2,3\n2+2?,4,5\n")
    with pytest.raises(TaskError, match="two columns 'answer'. Rename"):
        load_task(path)
    path.write_text("question,answer,,\n1+1?,2,,\n2+2?,4,,\n")
    assert len(load_task(path).train) == 1, "blank names of a spreadsheet are none"


def test_and_in_a_table_of_pyarrow_and_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    columns = [["1?", "2?"], ["1", "2"], ["3", "4"]]
    arrays = [pyarrow.array(column) for column in columns]
    table = pyarrow.Table.from_arrays(arrays, names=["question", "answer", "answer"])
    with pytest.raises(TaskError, match="two columns 'answer'"):
        load_task(table)
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(TaskError, match="two columns 'answer'"):
        load_task(tmp_path / "a.parquet")


def test_and_a_key_that_comes_twice_in_a_line_of_json(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "1?", "answer": "1", "answer": "2"}\n' * 2)
    with pytest.raises(TaskError, match=r"line 1: .*the key 'answer' comes twice"):
        load_task(path)


# ------------------------------------------------------------ choices

FRUIT = ["apple", "pear", "plum", "fig"]


def choice_rows(golds, **columns):
    return [{"question": f"{i}?", "answer": gold, **columns} for i, gold in enumerate(golds)]


@pytest.mark.parametrize("golds", [[1, 2, 3, 1], ["1", "2", "3", "3"], [1.0, 2.0, 3.0, 2.0]])
def test_indices_that_never_name_the_first_choice_are_pointed_out(golds):
    with pytest.warns(TaskWarning, match="from 1 to 3, counted from 0, and none is 0"):
        task = load_task(choice_rows(golds, choices=FRUIT), held_out=1)
    assert "If the data counts from 1" in task.describe()


def test_indices_of_which_one_is_0_are_not(recwarn):
    load_task(choice_rows([0, 2, 3, 1], choices=FRUIT), held_out=1)
    load_task(choice_rows(["B", "C", "D", "B"], choices=FRUIT), held_out=1)
    assert not [w for w in recwarn if "counted from 0" in str(w.message)]


def test_an_index_beyond_the_last_says_from_where_it_may_be_counted():
    with pytest.raises(TaskError, match=r"the last one where they are counted from 1\. Give"):
        load_task(choice_rows([1, 4], choices=FRUIT))


@pytest.mark.parametrize(
    "names",
    [
        ["Option 1", "Option 2", "Option 3", "Option 4"],
        ["choice_1", "choice_2", "choice_3", "choice_4"],
        ["option1", "option2", "option3", "option4"],
        ["answer_1", "answer_2", "answer_3", "answer_4"],
    ],
)
@pytest.mark.parametrize("gold", [2, "2", 2.0, "pear", "B"])
def test_numbered_columns_are_choices_and_count_as_they_are_numbered(names, gold):
    row = dict(zip(names, FRUIT, strict=True))
    problem = problems_of(choice_rows([gold, gold], **row))
    assert {p.answer for p in problem.values()} == {"B"}
    assert all("B. pear" in question for question in problem)


def test_columns_numbered_from_0_and_with_a_letter_behind_a_blank():
    from_0 = {f"choice{i}": text for i, text in enumerate(FRUIT)}
    assert {p.answer for p in problems_of(choice_rows([0, 0], **from_0)).values()} == {"A"}
    lettered = {f"Answer {x}": text for x, text in zip("ABCD", FRUIT, strict=True)}
    rows = [{"question": f"{i}?", "Correct Answer": "C", **lettered} for i in range(2)]
    read = problems_of(rows, answer_key="Correct Answer")
    assert {p.answer for p in read.values()} == {"C"}


def test_two_peoples_answers_are_no_choices():
    row = {"answer_1": "it is 7", "answer_2": "8"}
    assert {p.answer for p in problems_of(choice_rows(["9", "9"], **row)).values()} == {"9"}


# ------------------------------------------------------------ golds that are missing

GAPS = [{"question": f"{i}?", "answer": str(i)} for i in range(4)]


@pytest.mark.parametrize("gap", [None, float("nan"), "", " ", [], [None]])
def test_rows_without_a_gold_are_counted_and_left_out_where_that_is_asked_for(gap):
    rows = [*GAPS, {"question": "5?", "answer": gap}, {"question": "6?", "answer": gap}]
    with pytest.raises(TaskError, match=r"2 row\(s\) have no gold: row 4, row 5.*skip-unread"):
        load_task(rows)
    with pytest.warns(TaskWarning, match=r"2 row\(s\) without a gold left out: row 4; row 5"):
        task = load_task(rows, unreadable_golds="skip")
    assert len(task.train) + len(task.held_out) == 4
    assert task.reading.rows == 6


def test_a_gold_that_is_missing_in_the_first_row_or_as_a_key_is_left_out_too():
    rows = [{"question": "0?", "answer": None}, *GAPS[1:], {"question": "7?"}]
    with pytest.warns(TaskWarning, match="row 0; row 4"):
        load_task(rows, unreadable_golds="skip")


def test_a_missing_choice_is_a_missing_gold():
    with pytest.warns(TaskWarning, match=r"1 row\(s\) without a gold"):
        load_task(choice_rows([0, 1, None, 2], choices=FRUIT), unreadable_golds="skip")


def test_a_file_without_any_gold_says_so():
    with pytest.raises(TaskError, match=r"2 row\(s\) have no gold"):
        load_task([{"question": f"{i}?", "answer": None} for i in range(2)])
    with pytest.raises(TaskError, match="no problems in it"):
        load_task([{"question": "1?", "answer": None}] * 2, unreadable_golds="skip")


# ------------------------------------------------------------ golds as people write them

WRITTEN = {
    "<think>add</think><answer>1</answer>": "1",
    "<think>first \\boxed{3}\nthen</think>\n<answer> \\boxed{7} </answer>": "7",
    "<answer>**1**</answer>": "1",
    "Final answer: **1**": "1",
    "**Final Answer:** 1": "1",
    "We add.\nThen we take away.\n\nThe final answer is: 12.": "12",
    "Answer: x + 1": "x + 1",
    "The answer is: 1,080": "1080",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_an_answer_in_tags_or_behind_its_name_is_found(text):
    rows = [{"question": f"{i}?", "answer": text} for i in range(2)]
    assert {p.answer for p in problems_of(rows).values()} == {WRITTEN[text]}
    turns = [user("1?"), {"role": "assistant", "content": text}]
    read = problems_of(
        [{"messages": turns}, {"question": "2?", "messages": [user("2?"), *turns[1:]]}]
    )
    assert {p.answer for p in read.values()} == {WRITTEN[text]}


@pytest.mark.parametrize(
    "text", ["<answer>1</answer><answer>2</answer>", "<answer>1", "<answer> </answer>"]
)
def test_tags_that_do_not_hold_one_answer_are_refused(text):
    with pytest.raises(TaskError, match="not one filled <answer>"):
        load_task([{"question": f"{i}?", "answer": text} for i in range(2)])


def user(text):
    return {"role": "user", "content": text}


def test_golds_that_are_sentences_are_pointed_out(recwarn):
    golds = ["The result is 20.", "She has 3 apples", "It took them all day."]
    with pytest.warns(TaskWarning, match=r"3 gold\(s\) are sentences, for example 'The result is"):
        load_task(choice_rows(golds), held_out=1)
    fair = [
        "George Washington",
        "20",
        "x = 3",
        "3 p.m.",
        "12 May 1999",
        "the United States of America",
    ]
    load_task(choice_rows(fair), held_out=1)
    assert not recwarn.list


def test_fractions_have_the_digits_that_were_meant():
    golds = [0.1 + 0.2, 1 / 3, 7.0, 1e-7]
    read = problems_of(choice_rows(golds))
    assert [read[f"{i}?"].answer for i in range(4)] == ["0.3", "0.333333333333333", "7.0", "1e-07"]


# ------------------------------------------------------------ conversations, tools

CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add"}}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [user("1?")]}, "does not end in an assistant's turn"),
        ({"messages": [user("1?"), CALL]}, r"calls tools \(key 'tool_calls'\)"),
        ({"messages": [user("1?"), CALL, {"role": "tool", "content": "2"}]}, "without tools"),
        ({"question": "1?", "answer": "1", "tools": [{"name": "add"}]}, r"tools \(key 'tools'"),
        ({"question": "1?", "answer": "1", "functions": '[{"name": 1}]'}, "offers tools"),
        ({"conversations": [{"from": "human", "value": "1?"},
                            {"from": "function_call", "value": "x"}]}, "without tools"),
    ],
)  # fmt: skip
def test_tools_and_a_missing_reply_are_named(row, message):
    with pytest.raises(TaskError, match=message):
        load_task([row] * 2)


def test_a_later_conversation_without_a_reply_has_no_gold():
    talk = [user("1?"), {"role": "assistant", "content": "1"}]
    with pytest.raises(TaskError, match="the conversation ends in the user's turn"):
        load_task([{"messages": talk}, {"messages": talk[:1]}])


def test_a_column_of_no_tools_is_none():
    rows = [
        {"question": f"{i}?", "answer": "1", "tools": empty} for i, empty in enumerate(["[]", []])
    ]
    assert len(problems_of(rows)) == 2


# ------------------------------------------------------------ columns, classes, splits


def test_columns_of_reserved_names_are_said_to_be_left_out():
    rows = [{"question": f"{i}?", "answer": "1", "prompt": "p", "completions": ["c"]}
            for i in range(3)]  # fmt: skip
    with pytest.warns(TaskWarning, match=r"column 'completions' of 3 row\(s\) is left out"):
        task = load_task(rows, held_out=1)
    assert "column 'prompt' of 3 row(s)" in task.describe()


def test_columns_that_were_read_as_what_they_are_are_not(recwarn):
    load_task([{"prompt": f"{i}?", "answer": "1", "kind": "k", "completion": None} for i in "ab"])
    load_task([{"prompt": [user(f"{i}?")], "completion": "1"} for i in "ab"])
    assert not recwarn.list


def test_golds_that_are_classes_are_their_names():
    import datasets

    label = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"question": datasets.Value("string"), "answer": label})
    rows = {"question": ["1?", "2?", "3?"], "answer": [1, 0, 1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    expected = {"1?": "yes", "2?": "no", "3?": "yes"}
    assert {q: p.answer for q, p in problems_of(data).items()} == expected
    assert {q: p.answer for q, p in problems_of(data.to_iterable_dataset()).items()} == expected
    without = datasets.Dataset.from_dict(rows | {"answer": [1, 0, -1]}, features=features)
    with pytest.raises(TaskError, match=r"1 row\(s\) have no gold: row 2"):
        load_task(without)
    split = load_task(datasets.DatasetDict(train=data.select([0, 1]), test=data.select([2])))
    assert [p.answer for p in split.held_out] == ["yes"]


@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize("indent", [None, 2])
def test_both_splits_in_one_json_file(tmp_path, split, indent):
    train = [{"question": f"{i}?", "answer": str(i)} for i in range(4)]
    path = tmp_path / "sums.json"
    held = [{"question": "9?", "answer": "9"}, {"question": "8?", "answer": "8"}]
    path.write_text(json.dumps({"train": train, split: held}, indent=indent))
    task = load_task(path)
    assert (len(task.train), [p.answer for p in task.held_out]) == (4, ["9", "8"])
    assert task.name == "sums"
    assert len(load_task(path, held_out=1).held_out) == 1
    path.write_text(json.dumps({"train": train}, indent=indent))
    assert len(load_task(path).train) == 3, "a tenth is held out where there is no other split"


def test_a_row_of_the_other_split_is_named_with_it(tmp_path):
    path = tmp_path / "sums.json"
    path.write_text(json.dumps({"train": [{"question": "1?", "answer": "1"}], "test": [7]}))
    with pytest.raises(TaskError, match=r"sums\.json, row 0: holds 7"):
        load_task(path)
