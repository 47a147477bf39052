"""A step-reward function is called as reward functions are: with copies, a time limit, and its name
and sample in the error."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.rewards import RewardError, ScoringCancelledError
from workbench.rewards.steps import StepScorer

OWN = Path(__file__).parents[2] / "methods" / "own_steps.py"
TEXTS = ["ab", "abc", "x", ""]
HALVES = [[(1, 1.0), (2, 0.0)], [(1, 1.0), (3, 1.0)], [(1, 0.0)], []]
"""ord("a") and ord("c") are odd."""


def score(name: str, **options: Any) -> Any:
    prompts = [[{"role": "user", "content": "?"}] for _ in TEXTS]
    completions = [[{"role": "assistant", "content": text}] for text in TEXTS]
    columns = {"answer": ["1"] * len(TEXTS)}
    found = StepScorer(f"{OWN}:{name}").score(
        prompts, completions, step=1, completion_ids=[[1]] * 4, columns=columns, **options
    )
    assert [completion[0]["content"] for completion in completions] == TEXTS
    assert all(prompts)
    assert columns == {"answer": ["1"] * 4}
    return found


@pytest.mark.parametrize("name", ["halves", "halves_later", "spoils"])
def test_the_answer_and_nothing_else_comes_of_a_call(name: str) -> None:
    with torch.enable_grad():
        assert score(name) == HALVES


@pytest.mark.parametrize("beside", [False, True], ids=["main thread", "another thread"])
def test_one_that_never_returns_is_broken_off(beside: bool) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:

        def call(**options: Any) -> Any:
            if beside:
                return pool.submit(score, "never_returns", **options).result()
            return score("never_returns", **options)

        with pytest.raises(RewardError, match=r"step-reward function .* not returned after 0.2 s"):
            call(timeout=0.2)
        with pytest.raises(ScoringCancelledError):
            call(should_stop=lambda: True)
    assert time.monotonic() - began < 10


def test_what_does_not_fit_names_function_and_sample() -> None:
    with pytest.raises(RewardError, match=r"one_behind_the_text.* ends at character 2.*Row 2") as e:
        score("one_behind_the_text")
    assert e.value.row == 2
