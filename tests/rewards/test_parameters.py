"""How rewards with parameters are written, read, and found again in a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.rewards import RewardSet, resolve_reward
from workbench.rewards.cosine import CosineScaled
from workbench.rewards.functions import answer_reward, lenient_answer_reward
from workbench.rewards.length import Length
from workbench.rewards.noise import Noisy, noisy
from workbench.rewards.overlong import SoftOverlong
from workbench.rewards.parameters import RewardSpecError
from workbench.rewards.repetition import Repetition
from workbench.rewards.resolve import spec_of_recorded


def test_parameters_are_read_by_their_types() -> None:
    assert resolve_reward("soft_overlong:max_completion_len=48,soft_punish_cache=16") == (
        SoftOverlong(48, 16)
    )
    assert resolve_reward("repetition") == Repetition()
    assert resolve_reward("repetition: ngram_size = 2 , max_penalty=-0.5") == Repetition(2, -0.5)
    assert resolve_reward("cosine_scaled:max_len=9,reward=lenient_answer") == (
        CosineScaled(9, reward="lenient_answer")
    )


def test_the_inner_reward_takes_all_that_follows() -> None:
    inner = "noisy:p=0.25,seed=3,reward=lenient_answer"
    assert resolve_reward(f"noisy:p=0.5,reward={inner}") == Noisy(0.5, reward=inner)


def test_the_name_is_what_it_is_written_as() -> None:
    def mine(completions: Any, **_: Any) -> list[float]:
        return [1.0] * len(completions)

    for reward, name in (
        (SoftOverlong(48, 16), "soft_overlong:max_completion_len=48,soft_punish_cache=16"),
        (Repetition(), "repetition"),
        (Repetition(max_penalty=-2), "repetition:max_penalty=-2"),
        (Noisy(0.1), "noisy:p=0.1"),
        (noisy("answer", 0.1, 7), "noisy:p=0.1,seed=7"),
        # One reward has one name, whether it was given as an object or as a text.
        (noisy(answer_reward, 0.1), "noisy:p=0.1"),
        (noisy(lenient_answer_reward, 0.1), "noisy:p=0.1,reward=lenient_answer"),
        (noisy(noisy("answer", 0.2), 0.1), "noisy:p=0.1,reward=noisy:p=0.2"),
        (noisy("noisy:seed=0,p=0.20", 0.1), "noisy:p=0.1,reward=noisy:p=0.2"),
        (noisy(mine, 0.1), "noisy:p=0.1,reward=mine"),
        (Length(), "length"),
    ):
        assert reward.__name__ == name
        assert RewardSet(reward).names == (name,)


@given(
    p=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    inner=st.sampled_from(["answer", "lenient_answer", "length", "cosine_scaled:max_len=7"]),
)
def test_what_is_written_is_read_as_the_same(p: float, seed: int, inner: str) -> None:
    reward = Noisy(p, seed, inner)
    assert resolve_reward(reward.__name__) == reward


@given(st.floats(-(10**6), 0), st.integers(1, 99))
def test_and_so_are_negative_ones(penalty: float, size: int) -> None:
    reward = Repetition(size, penalty)
    assert resolve_reward(reward.__name__) == reward


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("soft_overlong", "needs max_completion_len and soft_punish_cache. Write it as 'soft_over"),
        ("soft_overlong:48", "'48' is no NAME=VALUE"),
        ("soft_overlong:max=48", "has no parameter 'max'. Write it as"),
        (
            "soft_overlong:max_completion_len=0,soft_punish_cache=0",
            "max_completion_len=0; expected 1",
        ),
        (
            "soft_overlong:max_completion_len=8,soft_punish_cache=9",
            "expected 0 to max_completion_l",
        ),
        ("soft_overlong:max_completion_len=8.5,soft_punish_cache=9", "'8.5'; expected a whole num"),
        ("repetition:ngram_size=0", "ngram_size=0; expected 1 or more"),
        ("repetition:max_penalty=0.5", "max_penalty=0.5; expected a finite number, 0 or less"),
        ("repetition:max_penalty=-inf", "max_penalty=-inf; expected a finite number"),
        ("repetition:max_penalty=much", "max_penalty='much'; expected a number"),
        ("repetition:ngram_size=2,ngram_size=3", "ngram_size is given twice"),
        ("repetition:ngram_size=2,", None),
        ("noisy:p=1.5", "p=1.5; expected 0 to 1"),
        ("noisy:p=nan", "p=nan; expected 0 to 1"),
        ("noisy:p=0.1,seed=-1", "seed=-1; expected 0 or more"),
        ("noisy:p=0.1,reward=nobody", "reward 'nobody' is unknown"),
        ("cosine_scaled:max_len=-3", "max_len=-3; expected 1 or more"),
        ("cosine_scaled:max_len=3,max_value_correct=0", "max_value_correct=0.0; expected a finite"),
        ("cosine_scaled:max_len=3,min_value_wrong=nan", "min_value_wrong=nan; expected a finite"),
    ],
)
def test_what_is_wrong_is_said_with_its_value(spec: str, words: str | None) -> None:
    if words is None:
        assert resolve_reward(spec) == Repetition(2)
        return
    with pytest.raises(RewardSpecError) as raised:
        resolve_reward(spec)
    assert words in str(raised.value)


def test_an_inner_reward_that_is_async_is_refused() -> None:
    async def later(completions: Any, **_: Any) -> list[float]:
        return [1.0] * len(completions)

    with pytest.raises(RewardSpecError, match="expected a function that is not async"):
        noisy(later, 0.1)


def test_an_inner_reward_that_is_not_0_or_1_is_an_error_with_its_row() -> None:
    def graded(completions: Any, **_: Any) -> list[float]:
        return [1.0, 0.5]

    with pytest.raises(ValueError, match="'graded' returned 0.5 in row 1; expected 0 or 1"):
        Length(graded)(prompts=["a", "a"], completions=["", ""], completion_ids=[[1], [2]])


def test_a_file_of_ones_own_is_run_once(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        f"with Path({str(tmp_path / 'log')!r}).open('a') as log:\n    log.write('x')\n"
        "def f(completions, **columns):\n    return [1] * len(completions)\n"
    )
    reward = Length(f"{tmp_path / 'mine.py'}:f")
    for _ in range(3):
        reward(prompts=["a"], completions=[""], completion_ids=[[1]])
    assert (tmp_path / "log").read_text() == "x"


def test_a_recorded_name_leads_back_to_the_reward_or_says_that_it_does_not() -> None:
    assert spec_of_recorded("answer_reward") == "answer"
    assert spec_of_recorded("mine") is None
    for known in ("noisy:p=0.1", "length:reward=my.py:f", "noisy:p=0.1,reward=length"):
        assert spec_of_recorded(known) == known
    assert spec_of_recorded("noisy:p=0.1,reward=mine") is None
    assert spec_of_recorded("noisy:p=0.1,reward=noisy:p=0.2,reward=mine") is None
