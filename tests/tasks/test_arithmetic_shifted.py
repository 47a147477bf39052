"""Arithmetic out of its distribution: one thing is shifted, the rest is arithmetic's own."""

from __future__ import annotations

import re

import pytest

from workbench.policy import load_policy
from workbench.tasks import TASKS, Task, load_task
from workbench.tasks.arithmetic import KINDS, is_held_out
from workbench.tasks.arithmetic_shifted import LONGER, OPERATORS, THREE_STEPS, WORDING

SHIFTED = {
    "arithmetic_longer": LONGER,
    "arithmetic_three_steps": THREE_STEPS,
    "arithmetic_wording": WORDING,
    "arithmetic_operators": OPERATORS,
}


@pytest.fixture(scope="module", params=SHIFTED)
def task(request: pytest.FixtureRequest) -> Task:
    return load_task(request.param)


def test_every_shifted_task_is_tried_here() -> None:
    assert [name for name in TASKS if name.startswith("arithmetic_")] == list(SHIFTED)


def test_the_answers_are_those_of_the_expression(task: Task) -> None:
    kinds = SHIFTED[task.name]
    for problem in [*task.train, *task.held_out]:
        numbers = problem.columns["numbers"]
        assert problem.answer == str(kinds[problem.kind].answer(*numbers))
        assert int(problem.answer) > -100
        # The question states the numbers in their order, and no other.
        assert [int(n) for n in re.findall(r"[0-9]+", problem.question)] == list(numbers)


def test_the_same_seed_gives_the_same_problems_and_another_does_not(task: Task) -> None:
    again, other = load_task(task.name), load_task(task.name, seed=1)
    assert again.held_out == task.held_out
    assert other.held_out != task.held_out


def test_nothing_is_asked_that_arithmetic_asks(task: Task) -> None:
    known = load_task("arithmetic")
    asked = {p.question for p in [*known.train, *known.held_out]}
    assert not asked & {p.question for p in [*task.train, *task.held_out]}


@pytest.mark.parametrize("name", ["arithmetic_wording", "arithmetic_operators"])
def test_other_words_ask_for_expressions_that_were_held_out(name: str) -> None:
    held_out = load_task(name).held_out
    assert all(is_held_out(p.kind, p.columns["numbers"]) for p in held_out)
    assert {p.kind for p in held_out} <= set(KINDS)


def test_longer_numbers_are_longer_than_arithmetics() -> None:
    for problem in load_task("arithmetic_longer").held_out:
        longest = max(len(str(n)) for n in problem.columns["numbers"])
        assert longest == (2 if problem.kind == "brackets" else 3)


def test_the_embedded_policy_can_read_every_question(task: Task) -> None:
    policy = load_policy("embedded", trainable=False)
    for problem in task.held_out[:100]:
        ids = policy.encode_prompt(task.messages(problem))
        assert problem.question in policy.tokenizer.decode(ids)
