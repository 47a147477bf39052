"""Generated arithmetic and the habits: disjoint splits, right answers, workings that lead where
they say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from workbench.assets.habits import HABITS, RIGHT, SETTLED, TAUGHT, WRONG, completion, sample_habit
from workbench.rewards import strict_correct
from workbench.tasks.arithmetic import KINDS, arithmetic_task, draw_problems, is_held_out


def test_the_same_seed_gives_the_same_task_and_another_seed_another() -> None:
    a, b, c = arithmetic_task(3, 100, 50), arithmetic_task(3, 100, 50), arithmetic_task(4, 100, 50)
    assert [p.question for p in a.train] == [p.question for p in b.train]
    assert [p.question for p in a.held_out] != [p.question for p in c.held_out]


def expression(problem) -> tuple:
    operation = problem.kind.removeprefix("word_")
    numbers = problem.columns["numbers"]
    return operation, tuple(sorted(numbers)) if operation == "add" else numbers


def test_no_expression_is_in_both_splits_whatever_the_seed_and_the_wording() -> None:
    train = {expression(p) for seed in range(3) for p in arithmetic_task(seed, 1000, 10).train}
    held_out = {
        expression(p) for seed in range(3) for p in arithmetic_task(seed, 10, 1000).held_out
    }
    assert not train & held_out
    assert is_held_out("add", (12, 30)) == is_held_out("word_add", (30, 12))


def test_the_shares_of_the_kinds_add_up() -> None:
    assert sum(k.share for k in KINDS.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def problems() -> list:
    return draw_problems(3000, np.random.default_rng(0), held_out=True)


def test_gold_answers_are_those_of_the_question(problems: list) -> None:
    for p in problems:
        if not p.kind.startswith("word"):
            value = {
                "add": lambda a, b: a + b,
                "subtract": lambda a, b: a - b,
                "brackets": lambda a, b, c: (a + b) * c,
                "precedence": lambda a, b, c: a + b * c,
            }[p.kind](*map(int, re.findall(r"\d+", p.question)))
            assert str(value) == p.answer


def test_the_right_habit_is_right_and_every_written_step_holds(problems: list) -> None:
    for p in problems:
        text = completion(p, "right")
        assert strict_correct(text, p.answer), (p, text)
        for left, sign, right, result in re.findall(r"(?<![\d+])(\d+)([-*])(\d+)=(\d+)", text):
            assert (int(left) - int(right) if sign == "-" else int(left) * int(right)) == int(
                result
            )
        for summands, result in re.findall(r"(\d+(?:\+\d+)+)=(\d+)", text):
            assert sum(map(int, summands.split("+"))) == int(result)


def test_untagged_scores_nothing_and_wrong_is_wrong_where_the_mistake_bites(problems: list) -> None:
    assert not any(strict_correct(completion(p, "untagged"), p.answer) for p in problems)
    share = np.mean([strict_correct(completion(p, "wrong"), p.answer) for p in problems])
    assert 0.25 < share < 0.45, (
        "the wrong habit should be right on the problems without a carry, and only there"
    )
    assert all(set(table) == set(KINDS) for table in (RIGHT, WRONG))


def test_habits_come_in_their_shares() -> None:
    assert set(SETTLED) == set(KINDS)
    for shares in (TAUGHT, *SETTLED.values()):
        assert tuple(shares) == HABITS
        assert sum(shares.values()) == pytest.approx(1)
        # Greedy decoding picks the wrong working, so that there is something to learn.
        assert max(shares, key=lambda habit: shares[habit]) == "wrong"
    rng = np.random.default_rng(0)
    for shares in (TAUGHT, SETTLED["add"]):
        drawn = [sample_habit(rng, shares) for _ in range(4000)]
        for habit, share in shares.items():
            assert drawn.count(habit) / 4000 == pytest.approx(share, abs=0.03)
