"""What tells one list of problems from another, for a resumed run and a kept evaluation alike."""

from __future__ import annotations

from dataclasses import replace

from tests.helpers import in_one_test
from workbench.tasks import Problem, Task
from workbench.tasks.digest import problems_digest

FIRST = Problem("a?", "1", "sum", {"hint": "x"})
TASK = Task("t", [FIRST, Problem("b?", "2")], [Problem("c?", "3")], "Think.")
EARLIER = ({"role": "user", "content": "Hello"},)
OWN_SYSTEM = ({"role": "system", "content": "Be brief."},)

CHANGES = [
    {"question": "A?"},
    {"answer": "1.0"},
    {"kind": ""},
    {"columns": {"hint": "y"}},
    {"before": EARLIER},
    {"before": OWN_SYSTEM},
]


@in_one_test({"change": change} for change in CHANGES)
def test_whatever_a_model_is_asked_or_a_reward_is_given_changes_it(change):
    other = replace(FIRST, **change)
    assert problems_digest(TASK, [other]) != problems_digest(TASK, [FIRST])
    changed = replace(TASK, train=[other, *TASK.train[1:]])
    assert problems_digest(changed) != problems_digest(TASK)


def test_the_tasks_system_prompt_and_where_its_splits_part_change_it():
    assert problems_digest(replace(TASK, system_prompt=None)) != problems_digest(TASK)
    moved = replace(TASK, train=TASK.train[:1], held_out=[TASK.train[1], *TASK.held_out])
    assert problems_digest(moved) != problems_digest(TASK)


def test_what_only_groups_results_or_says_where_a_problem_stood_does_not():
    same = replace(FIRST, subject="Algebra", level=5, solution="because", place="row 3")
    assert problems_digest(TASK, [same]) == problems_digest(TASK, [FIRST])
    assert problems_digest(TASK, [FIRST]) != problems_digest(TASK, [FIRST, FIRST])


def test_it_stays_as_records_of_earlier_versions_have_it():
    assert problems_digest(TASK) == (
        "a2d8f1b7f2da2560d00f573b416e03b273a61be8950c9e9054a1b6bc0183b9c4"
    )
