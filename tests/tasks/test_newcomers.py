"""Files as a newcomer brings them: what is read of them, and what is said where they cannot be."""


import pytest

from workbench.tasks import TaskError, load_task


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
