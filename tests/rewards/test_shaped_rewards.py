"""Rewards of form and length: values by hand, and TRL's where it has them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import (
    get_cosine_scaled_reward,
    get_repetition_penalty_reward,
    get_soft_overlong_punishment,
)

from workbench.rewards import RewardSet
from workbench.rewards.cosine import CosineScaled
from workbench.rewards.length import Length
from workbench.rewards.noise import noisy
from workbench.rewards.overlong import SoftOverlong
from workbench.rewards.repetition import Repetition
from workbench.rewards.tags import tag_count_reward

token_lists = st.lists(st.lists(st.integers(0, 3), max_size=40), min_size=1, max_size=6)


def tagged(answer: str) -> str:
    return f"<answer>{answer}</answer>"


# ----------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    ("text", "paid"),
    [
        ("<think>a</think><answer>b</answer>", 1.0),
        ("<think></think><answer></answer>", 1.0),
        ("</answer><answer></think><think>", 1.0),
        ("a</think><answer>b</answer>", 0.75),
        ("<think>a</think>b", 0.5),
        ("<think><think>a</think>", 0.25),
        ("<think>a</think>" * 2, 0.0),
        ("<Think>", 0.0),
        ("", 0.0),
    ],
)
def test_a_quarter_for_each_tag_that_stands_once(text: str, paid: float) -> None:
    assert tag_count_reward([text, [{"role": "assistant", "content": text}]]) == [paid, paid]


# ----------------------------------------------------------------------------- length


@given(token_lists, st.integers(1, 40), st.integers(0, 40))
def test_soft_overlong_is_trls(ids: list[list[int]], longest: int, cache: int) -> None:
    cache = min(cache, longest)
    assert SoftOverlong(longest, cache)(ids) == get_soft_overlong_punishment(longest, cache)(ids)


def test_soft_overlong_by_hand() -> None:
    """Equation 13 with L_max 20 and L_cache 4."""
    lengths = [0, 16, 17, 18, 19, 20, 21]
    ids = [[1] * length for length in lengths]
    assert SoftOverlong(20, 4)(ids) == [0, 0, -0.25, -0.5, -0.75, -1, -1]


@given(token_lists, st.integers(1, 5), st.floats(-4, 0))
def test_repetition_is_trls(ids: list[list[int]], size: int, penalty: float) -> None:
    ours = Repetition(size, penalty)(ids)
    assert ours == pytest.approx(get_repetition_penalty_reward(size, penalty)(ids), abs=1e-12)


def test_repetition_by_hand() -> None:
    """Of the six pairs of 1 2 1 2 1 2 1 two are different."""
    ids = [[1, 2, 1, 2, 1, 2, 1], [1, 2, 3, 4], [1], []]
    assert Repetition(2)(ids) == pytest.approx([-4 / 6, 0, 0, 0])
    assert Repetition(3, -0.5)([[5] * 12]) == pytest.approx([-0.45])


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=1, max_size=6),
    st.integers(1, 50),
)
def test_cosine_scaled_is_trls(rows: list[tuple[bool, int]], longest: int) -> None:
    boxed = ["\\boxed{8}" if right else "\\boxed{9}" for right, _ in rows]
    ids = [[1] * length for _, length in rows]
    messages = [[{"role": "assistant", "content": text}] for text in boxed]
    trl = get_cosine_scaled_reward(longest)(messages, ["8"] * len(rows), ids)
    ours = CosineScaled(longest, reward="lenient_answer")(
        completions=messages, answer=["8"] * len(rows), completion_ids=ids
    )
    assert ours == pytest.approx(trl, abs=1e-12)


def test_cosine_scaled_by_hand() -> None:
    """At nothing, at the middle, at the end and beyond it."""
    lengths = [0, 50, 100, 900]
    ids = [[1] * length for length in lengths] * 2
    texts = [tagged("8")] * 4 + [tagged("9")] * 4
    values = CosineScaled(100, -10, 0, 1, 2)(
        completions=texts, answer=["8"] * 8, completion_ids=ids
    )
    assert values == pytest.approx([2, 1.5, 1, 1, -10, -5, 0, 0])


def test_length_by_hand() -> None:
    """Two groups of four: lengths 10, 20, 30 and 20; and all of one length."""
    lengths = [10, 20, 30, 20, 5, 5, 5, 5]
    given = {
        "prompts": ["a"] * 4 + ["b"] * 4,
        "completion_ids": [[1] * length for length in lengths],
        "completions": [tagged(a) for a in "88899989"],
        "answer": ["8"] * 8,
    }
    assert Length()(**given) == [0.5, 0, -0.5, 0, 0, 0, 0, 0]
    # A wrong one can only lose.
    given["completions"] = [tagged("9")] * 8
    assert Length()(**given) == [0, 0, -0.5, 0, 0, 0, 0, 0]


def test_the_groups_of_length_are_those_of_the_prompts_messages() -> None:
    first = [{"role": "user", "content": "3 + 5"}]
    second = [{"role": "user", "content": "5 + 3"}]
    values = Length()(
        prompts=[first, second, first, second],
        completion_ids=[[1], [1], [1, 1], [1, 1, 1]],
        completions=[tagged("8")] * 4,
        answer=["8"] * 4,
    )
    assert values == [0.5, 0.5, -0.5, -0.5]


def test_what_could_not_be_compared_has_no_length_reward() -> None:
    def knows_some(completions: Any, **_: Any) -> list[float | None]:
        return [1.0, None]

    given = {"prompts": ["a", "a"], "completions": ["", ""], "completion_ids": [[1], [1, 2]]}
    assert Length(knows_some)(**given) == [0.5, None]
    assert CosineScaled(2, reward=knows_some)(**given) == [pytest.approx(0.75), None]
    step = SimpleNamespace(global_step=1)
    assert noisy(knows_some, 1.0)(trainer_state=step, **given) == [0.0, None]


# ----------------------------------------------------------------------------- noise


def flips(p: float, seed: int, step: int, size: int = 1000) -> np.ndarray:
    rewards = RewardSet(noisy("format", p, seed))
    table = rewards.score(["q"] * size, ["no format"] * size, step=step)
    return table.rewards_BK[:, 0]


def test_a_share_of_p_is_flipped_in_both_directions() -> None:
    right = "<think>a</think><answer>b</answer>"
    rewards = RewardSet(noisy("format", 0.2, 1))
    table = rewards.score(["q"] * 4000, [right, "no format"] * 2000, step=1)
    lost = 1 - table.rewards_BK[::2, 0].mean()
    won = table.rewards_BK[1::2, 0].mean()
    # Four standard errors of 2,000 draws.
    assert abs(lost - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 2000)
    assert abs(won - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 2000)
    assert not flips(0, 1, 1).any()
    assert flips(1, 1, 1).all()


def test_the_flips_depend_on_seed_step_and_row_alone() -> None:
    assert (flips(0.3, 1, 5) == flips(0.3, 1, 5)).all()
    assert (flips(0.3, 1, 5, 100) == flips(0.3, 1, 5)[:100]).all()
    for other in (flips(0.3, 1, 6), flips(0.3, 2, 5)):
        agreed = (flips(0.3, 1, 5) == other).mean()
        # Independent ones agree in .3² + .7².
        assert abs(agreed - 0.58) < 0.08


def test_the_noise_within_noise_is_another() -> None:
    """Twice with one seed would undo itself: each flip twice."""
    size = 1000
    rewards = RewardSet(noisy(noisy("format", 0.3, 1), 0.3, 2))
    table = rewards.score(["q"] * size, ["no format"] * size, step=5)
    twice = flips(0.3, 1, 5) != flips(0.3, 2, 5)
    assert (table.rewards_BK[:, 0].astype(bool) == twice).all()
