"""What a reward function may return, and what is said of everything else."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sympy
import torch

from workbench.rewards import RewardError, RewardSet, RewardWarning, resolve_reward, shuffled

SIZE = 4


def score(functions, rewards=None, step=1):
    rewards = rewards or RewardSet(functions)
    return rewards.score([f"prompt {i}" for i in range(SIZE)], ["text"] * SIZE, step=step)


def returning(output):
    return lambda completions: output


@pytest.mark.parametrize(
    "half",
    [
        Fraction(1, 2),
        Decimal("0.5"),
        sympy.Rational(1, 2),
        np.float16(0.5),
        np.array(0.5),
        torch.tensor(0.5),
        torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True),
    ],
)
def test_a_number_of_any_kind_is_a_reward(half) -> None:
    assert score(returning([half] * SIZE)).rewards_BK[:, 0].tolist() == [0.5] * SIZE


@pytest.mark.parametrize("one", [True, np.bool_(True), torch.tensor(True), 1, np.int8(1)])
def test_true_is_1(one) -> None:
    assert score(returning([one] * SIZE)).rewards_BK[:, 0].tolist() == [1.0] * SIZE


@pytest.mark.parametrize("container", [tuple, deque, np.array, pd.Series, torch.tensor])
def test_what_has_an_order_may_hold_them(container) -> None:
    rewards = score(returning(container([0.0, 0.25, 0.5, 1.0]))).rewards_BK
    assert rewards[:, 0].tolist() == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("bad", [Decimal("NaN"), Decimal("Infinity"), Fraction(10) ** 400])
def test_a_number_that_no_float32_can_hold_is_refused(bad) -> None:
    with pytest.raises(RewardError, match="expected a finite float32 number"):
        score(returning([0.0, bad, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({0.0, 1.0, 2.0, 3.0}, "a set; expected a list of 4 rewards: this has no order"),
        (frozenset({0.0, 1.0, 2.0, 3.0}), "a frozenset; .*: this has no order"),
        ({0: 1.0}.keys(), "a dict_keys; .*: this has no order"),
        ({0: 1.0}, "a dict; expected a list of 4 rewards"),
        ("1111", "a str; expected a list"),
        (b"1111", "a bytes; expected a list"),
        (bytearray(4), "a bytearray; expected a list"),
        ((1.0 for _ in range(SIZE)), r"a generator; .*write list\(…\) around it"),
        (map(float, range(SIZE)), r"a map; .*write list\(…\) around it"),
        (torch.tensor(1.0), r"expected a list of 4 rewards"),
        (np.array(1.0), r"expected a list of 4 rewards"),
        (torch.ones(SIZE, 1), "a Tensor; expected a number, or None"),
        ([1.0] * 5, r"returned 5 reward\(s\) for 4 completion\(s\)"),
    ],
)
def test_what_is_no_list_of_rewards_is_refused_in_words(output, message) -> None:
    with pytest.raises(RewardError, match=message):
        score(returning(output))


def test_a_function_that_yields_is_refused_in_words() -> None:
    def yields(completions):
        for _ in completions:
            yield 1.0

    with pytest.raises(RewardError, match=r"reward function 'yields' returned .*a generator"):
        score(yields)


async def later(completions, **columns):
    await asyncio.sleep(0)
    return [1.0] * len(completions)


def test_an_async_function_in_a_plain_wrapper_is_refused_in_words_and_leaves_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RewardError, match="a coroutine; .*async def"):
            score(lambda completions: later(completions))


def test_a_partial_and_a_method_that_are_async_are_called_as_such() -> None:
    class Judge:
        async def grade(self, completions, **columns):
            return [2.0] * len(completions)

    table = score([partial(later), Judge().grade])
    assert table.rewards_BK.tolist() == [[1.0, 2.0]] * SIZE
    assert table.names == ("later", "grade")


def test_a_reward_that_ends_the_process_is_an_error_like_any_other() -> None:
    def ends(completions):
        raise SystemExit(0)

    with pytest.raises(RewardError, match="'ends' raised SystemExit: 0"):
        score(ends)


def test_a_class_in_place_of_its_object_is_refused() -> None:
    class Judge:
        def __call__(self, completions, **columns):
            return [1.0] * len(completions)

    with pytest.raises(ValueError, match=r"is a class; give an object of it: Judge\(\)"):
        resolve_reward(Judge)
    assert resolve_reward(Judge())(["a"]) == [1.0]


@pytest.mark.parametrize("weights", [[None], ["much"], [1j], 3])
def test_weights_that_are_no_numbers_are_refused_in_words(weights) -> None:
    with pytest.raises(ValueError, match="expected 1 finite number"):
        RewardSet([later], weights)


# -------------------------------------------------------------------------- nothing was scored


def nothing(completions, **columns):
    return [None] * len(completions)


def ones(completions, **columns):
    return [1.0] * len(completions)


@pytest.mark.parametrize("functions", [[nothing], [nothing, nothing]])
@pytest.mark.parametrize("wrap", [RewardSet, lambda functions: shuffled(RewardSet(functions))])
def test_a_first_step_in_which_nothing_is_scored_is_an_error(functions, wrap) -> None:
    with pytest.raises(RewardError, match=r"nothing\b.* returned None for all 4 completions"):
        score(None, wrap(functions))


def test_a_function_that_scores_nothing_beside_one_that_does_is_said_once() -> None:
    rewards = RewardSet([nothing, ones])
    with pytest.warns(RewardWarning, match="'nothing' returned None for all 4 completions") as said:
        score(None, rewards)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(None, rewards, step=2)
        score([later, ones])


def test_a_later_step_in_which_nothing_is_scored_is_a_warning() -> None:
    outage = []
    rewards = RewardSet(lambda completions: [None if outage else 1.0] * len(completions))
    score(None, rewards)
    outage.append(True)
    with pytest.warns(RewardWarning, match="step 2: no reward function scored any"):
        score(None, rewards, step=2)
