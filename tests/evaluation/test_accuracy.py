"""Held-out accuracy and its interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation import greedy_accuracy, wilson_interval
from workbench.evaluation.answered import JUDGES
from workbench.policy import load_policy
from workbench.rollout import make_engine
from workbench.tasks.arithmetic import arithmetic_task


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1000, 1000, 0.9962, 1.0)],
)
def test_wilson_against_published_values(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=2e-4)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(pair: tuple[int, int]) -> None:
    correct, n = pair
    low, high = wilson_interval(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1


def test_nothing_evaluated_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_batches_change_no_answer_and_the_kinds_add_up(tiny_folder: Path) -> None:
    policy, task = load_policy(tiny_folder), arithmetic_task(0, 16, 32)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    one = greedy_accuracy(engine, policy, task, task.held_out, 8, batch_size=5)
    other = greedy_accuracy(engine, policy, task, task.held_out, 8, batch_size=32)
    assert (one.correct, one.extra) == (other.correct, other.extra)
    assert sum(count for _, count in one.extra["by_kind"].values()) == one.n == 32


def test_the_interval_ends_exactly_at_none_and_all() -> None:
    assert wilson_interval(0, 300)[0] == 0.0
    assert wilson_interval(300, 300)[1] == 1.0


def test_an_answer_that_was_not_compared_in_time_is_left_out_and_counted(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, task = load_policy(tiny_folder), arithmetic_task(0, 16, 32)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    verdicts = iter([None, True] + [False] * 30)
    one_undecided = replace(JUDGES["strict"], right=lambda text, gold: next(verdicts))
    monkeypatch.setitem(JUDGES, "strict", one_undecided)
    found = greedy_accuracy(engine, policy, task, task.held_out, 8)
    assert (found.n, found.correct) == (31, 1)
    assert found.extra["answers_not_compared"] == 1
