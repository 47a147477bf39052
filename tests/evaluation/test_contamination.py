"""Whether problems of an evaluation were trained on: counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation import find_contamination
from workbench.evaluation.contamination import words_of
from workbench.tasks.types import Problem

TWELVE = "a b c d e f g h i j k l"


def problems(*questions: str) -> list[Problem]:
    return [Problem(question, "1") for question in questions]


def test_ten_words_in_a_row_are_shared_and_nine_are_not() -> None:
    trained = problems("nothing of it", f"x {TWELVE}")
    evaluated = problems(
        "b c d e f g h i j k then something else",  # ten: one of its five rows
        "b c d e f g h i j then k",  # nine
        TWELVE,  # all three of its rows
        "A  b\nC d e f g h i j zz",  # ten, whatever the case and the spaces
    )
    found = find_contamination(evaluated, trained)
    assert [(o.problem, o.trained, o.share, o.is_exact) for o in found.overlaps] == [
        (0, 1, 1 / 4, False),
        (2, 1, 1.0, False),
        (3, 1, 1 / 2, False),
    ]
    assert found.as_dict() == {
        "problems": 4,
        "training_problems": 2,
        "words_in_a_row": 10,
        "overlapping": 3,
        "exact": 0,
    }


def test_the_same_words_are_exact_and_a_short_question_inside_another_is_not() -> None:
    found = find_contamination(problems("3 + 4", "3 - 4", "7 x 8"), problems("3 + 4 - 5", "7  X 8"))
    assert [(o.problem, o.trained, o.is_exact) for o in found.overlaps] == [(2, 1, True)]
    assert found.exact == 1
    assert "1 of 3 problems share 10 words in a row" in str(found)
    assert "1 of them are one word for word" in str(found)


def test_what_shares_nothing_says_nothing() -> None:
    assert str(find_contamination(problems("one two"), problems("three four"))) == ""
    with pytest.raises(ValueError, match="n=0"):
        find_contamination(problems("a"), problems("b"), 0)


def test_earlier_turns_belong_to_the_problem() -> None:
    turns = ({"role": "user", "content": "Double it"},)
    assert find_contamination([Problem("3", "6", before=turns)], problems("3")).overlaps == ()


@given(st.lists(st.text("ab +", min_size=1), min_size=1, max_size=6))
def test_what_was_trained_on_is_always_found(questions: list[str]) -> None:
    found = find_contamination(problems(*questions), problems(*questions))
    assert found.exact == len(questions)
    assert all(
        words_of(questions[o.problem]) == words_of(questions[o.trained]) for o in found.overlaps
    )
