"""Subject and level of a problem, as its data has them."""

from __future__ import annotations

from tests.helpers import in_one_test
from workbench.tasks import load_task


def _first(**row):
    rows = [{"question": "1 + 1?", "answer": "2"} | row, {"question": "1 + 2?", "answer": "3"}]
    task = load_task(rows, held_out=1, seed=0)
    return next(p for p in (*task.train, *task.held_out) if p.question == "1 + 1?")


def test_a_subject_is_found_under_the_names_that_data_sets_give_it():
    math = _first(type="Algebra", level="Level 5")
    math_500 = _first(subject="Number Theory", level=2, unique_id="test/1.json")
    assert (math.subject, math.level) == ("Algebra", 5)
    assert (math_500.subject, math_500.level) == ("Number Theory", 2)
    assert _first(subject="Geometry", type="open").subject == "Geometry"
    assert (_first().subject, _first().level) == (None, None)


LEVELS = [
    ("Level 5", 5),
    ("level 1", 1),
    ("3", 3),
    (4, 4),
    (4.0, 4),
    (4.5, 4.5),
    ("easy", "easy"),
    ("Level ?", None),
    ("", None),
    (None, None),
    (True, None),
    ("x" * 81, None),
]


@in_one_test({"written": written, "level": level} for written, level in LEVELS)
def test_levels_are_numbers_where_they_are_written_as_one(written, level):
    found = _first(level=written).level
    assert found == level
    assert type(found) is type(level)


def test_reward_functions_still_get_the_column_as_it_stands():
    assert _first(type="Algebra", level="Level 5").columns["level"] == "Level 5"


def test_the_description_counts_subjects_and_levels():
    rows = [
        {"question": f"{i}?", "answer": str(i), "type": kind, "level": level}
        for i, (kind, level) in enumerate([("B", 10), ("A", "hard"), ("B", 2), ("B", 10)])
    ]
    told = load_task(rows, held_out=1).describe()
    assert "subjects: 'B' 3, 'A' 1\nlevels: 2 1, 10 2, 'hard' 1\nworked solutions: 0 of 4" in told
