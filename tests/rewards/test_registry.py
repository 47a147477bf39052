"""The table of named rewards: nothing that belongs to a row can be forgotten."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from workbench import rewards
from workbench.commands.options import REWARD_HELP
from workbench.rewards import REWARDS

GOLD = "<think>3 and 5</think><answer>8</answer>"
PAID_IN_FULL_AND_NOT = {
    "format": (GOLD, "The answer is 8"),
    "answer": (GOLD, "<think>3 and 5</think><answer>9</answer>"),
    "lenient_answer": ("The answer is 8", "The answer is 9"),
}
"""For each named reward a completion that it pays 1 and one that it pays 0, where 8 is right."""


def test_every_reward_that_is_written_has_a_row() -> None:
    written = {
        function
        for info in pkgutil.iter_modules(rewards.__path__)
        for name, function in vars(
            importlib.import_module(f"workbench.rewards.{info.name}")
        ).items()
        if inspect.isfunction(function) and name.endswith("_reward") and not name.startswith("_")
    } - {rewards.resolve_reward, rewards.check_reward}
    assert len(written) >= 3, "the search itself found nothing"
    assert written == set(REWARDS.values())


def test_every_row_is_named_after_its_function() -> None:
    """The record and `--resume` name a function by its `__name__`."""
    assert not [name for name, function in REWARDS.items() if function.__name__ != f"{name}_reward"]


def test_every_row_has_its_examples() -> None:
    assert PAID_IN_FULL_AND_NOT.keys() == REWARDS.keys()


@pytest.mark.parametrize("name", PAID_IN_FULL_AND_NOT)
def test_a_right_completion_is_paid_in_full_and_a_wrong_one_not(name: str) -> None:
    right, wrong = PAID_IN_FULL_AND_NOT[name]
    function = REWARDS[name]
    paid = function(prompts=["3 + 5"] * 2, completions=[right, wrong], answer=["8"] * 2)
    assert paid == [1.0, 0.0]


def test_the_help_names_every_reward() -> None:
    assert not [name for name in REWARDS if f"'{name}'" not in REWARD_HELP]
