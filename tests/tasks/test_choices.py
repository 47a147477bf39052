"""Questions with choices: what is shown, and which letter the gold becomes."""

import pytest

from tests.helpers import in_one_test
from workbench.tasks import TaskError, load_task

HUES = ["red", "green", "blue", "grey"]
SHOWN = "A. red\nB. green\nC. blue\nD. grey"
Q = {"question": "Which one?"}

IN_MANY_SHAPES = [
    # MMLU: a list and an index; its CSV twin; a letter; the text itself
    Q | {"choices": HUES, "answer": 2},
    Q | {"choices": '["red", "green", "blue", "grey"]', "answer": "2"},
    Q | {"choices": HUES, "answer": "C"},
    Q | {"options": HUES, "answer": "(c)"},
    Q | {"options": HUES, "answer": "blue"},
    Q | {"options": HUES, "answer": "C. blue"},
    Q | {"options": HUES, "answer": "It is the sky's.\n#### C"},
    Q | {"options": HUES, "answer": "so $\\boxed{C}$"},
    # HellaSwag, AQuA, ARC and CommonsenseQA, MedQA, MMLU-Pro
    Q | {"endings": HUES, "label": "2"},
    Q | {"options": ["A)red", "B)green", "C)blue", "D)grey"], "correct": "C"},
    Q | {"choices": {"text": HUES, "label": list("ABCD")}, "answerKey": "C"},
    Q | {"options": {"A": "red", "B": "green", "C": "blue", "D": "grey", "E": None}, "answer": "C"},
    Q | {"options": [{"key": k, "value": v} for k, v in zip("ABCD", HUES, strict=True)],
         "answer_idx": "C"},
    Q | {"options": HUES, "answer": "C", "answer_index": 2},
    # a column for each: MedMCQA, CMMLU, C-Eval
    Q | {"opa": "red", "opb": "green", "opc": "blue", "opd": "grey", "cop": 2},
    {"Question": "Which one?", "A": "red", "B": "green", "C": "blue", "D": "grey", "Answer": "C"},
    Q | {"option_a": "red", "option_b": "green", "option_c": "blue", "option_d": "grey",
         "answer": "C"},
]  # fmt: skip


def loaded(row):
    question = "Question" if "Question" in row else "question"
    return load_task([row, row | {question: "Another one?"}], held_out=1)


@pytest.mark.filterwarnings("ignore:.*the choices of")
@in_one_test({"row": row} for row in IN_MANY_SHAPES)
def test_choices_are_shown_and_the_gold_is_the_letter(row):
    task = loaded(row)
    for problem in (*task.train, *task.held_out):
        assert SHOWN in problem.question, problem.question
        assert problem.answer == "C"
    assert "the letter of a choice" in task.describe()


def test_it_is_said():
    with pytest.warns(UserWarning, match=r"the choices of 2 row.* the gold is the letter"):
        loaded(Q | {"choices": HUES, "answer": 2})


def test_a_question_that_shows_its_choices_already_stays_as_it_is():
    asked = "Which one?\n(A) red (B) green (C) blue (D) grey"
    rows = [{"question": f"{n}. {asked}", "choices": HUES, "answer": "C"} for n in range(2)]
    task = load_task(rows, held_out=1)
    assert {p.question for p in (*task.train, *task.held_out)} == {f"{n}. {asked}" for n in (0, 1)}


@pytest.mark.filterwarnings("ignore:.*the choices of")
def test_labels_of_the_data_come_before_an_index():
    """ARC numbers some of its choices: "2" is the one that is labelled so, not the third."""
    task = loaded(Q | {"choices": {"text": HUES, "label": list("1234")}, "answerKey": "2"})
    assert task.train[0].answer == "2"
    assert "2. green" in task.train[0].question


def test_columns_that_are_called_like_letters_need_no_choices():
    task = loaded({"question": "What is A + B?", "A": 3, "B": 4, "answer": 7})
    assert task.train[0].answer == "7"
    assert "A. 3" not in task.train[0].question


@in_one_test(
    [
        {"row": Q | {"choices": HUES, "answer": 4}, "message": "is none of the choices"},
        {"row": Q | {"choices": HUES, "answer": "E"}, "message": "is none of the choices"},
        {"row": Q | {"choices": HUES, "answer": "mauve"}, "message": "is none of the choices"},
        {"row": Q | {"choices": ["2", "3", "4"], "answer": "2"}, "message": "more than one"},
        {"row": Q | {"choices": [2, 3, 4], "answer": 2}, "message": "more than one"},
        {"row": Q | {"choices": ["B", "A"], "answer": "A"}, "message": "more than one"},
        {"row": Q | {"choices": "red or green", "answer": "A"}, "message": "expected a list"},
        {"row": Q | {"choices": ["red"], "answer": "A"}, "message": "1 choices"},
        {"row": Q | {"choices": HUES, "answer": ["A", "B"]}, "message": "2 golds"},
        {"row": Q | {"choices": HUES, "answer": True}, "message": "none of the choices"},
        {
            "row": Q | {"choices": {"text": HUES, "label": ["A"]}, "answer": "A"},
            "message": "labels",
        },
    ]
)
def test_a_gold_that_names_no_choice_is_refused(row, message):
    with pytest.raises(TaskError, match=message):
        loaded(row)
